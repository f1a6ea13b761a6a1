from collections.abc import Callable
from typing import Any

from mq9fast._core.client import Agenda
from mq9fast._core.delivery import Delivery
from mq9fast._core.intake import Intake
from mq9fast._core.router import Router

class Core:
    def __init__(
        self,
        agenda: Agenda,
        router: Router,
        delivery: Delivery,
        intake: Intake,
        *,
        read_bytes: int,
        control_line_bytes: int,
        payload_bytes: int,
        most_subscriptions: int,
    ) -> None: ...
    @property
    def agenda(self) -> Agenda: ...
    @property
    def router(self) -> Router: ...
    @property
    def delivery(self) -> Delivery: ...
    @property
    def intake(self) -> Intake: ...
    @property
    def in_messages(self) -> int: ...
    @property
    def in_bytes(self) -> int: ...
    @property
    def subscribed(self) -> int: ...
    @property
    def unsubscribed(self) -> int: ...
    @property
    def refused_subscriptions(self) -> int: ...
    @property
    def violations(self) -> int: ...
    most_subscriptions: int
    commit: Callable[[], Any] | None
    failed: Callable[[Exception], Any] | None
    stalled: Callable[[], Any] | None
    ready_descriptor: int
    finishing: bool
    busy_poll_us: int
    poll_soon: Callable[[], Any] | None
    def busy_poll(self) -> None: ...
    def tell_time(self) -> None: ...
    def end_turn(self) -> int: ...
    def finish_exhausted(self) -> int: ...
