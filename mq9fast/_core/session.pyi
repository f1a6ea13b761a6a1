from typing import Protocol, type_check_only

from mq9fast._core.client import Agenda, Client, _Connection
from mq9fast._core.delivery import Delivery
from mq9fast._core.intake import Intake
from mq9fast._core.router import Router

@type_check_only
class _SessionConnection(_Connection, Protocol):
    def connect(self, options: bytes, /) -> None: ...

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
    def closed_out_messages(self) -> int: ...
    @property
    def closed_out_bytes(self) -> int: ...
    @property
    def refused_subscriptions(self) -> int: ...
    def finish_exhausted(self) -> None: ...

class Session(Client):
    def __init__(
        self,
        agenda: Agenda,
        cid: int,
        max_pending_bytes: int,
        core: Core,
        connection: _SessionConnection,
    ) -> None: ...
    authorized: bool
    @property
    def heard_bytes(self) -> int: ...
    def get_buffer(self, sizehint: int) -> memoryview: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def resume_writing(self) -> None: ...
    def closed(self) -> None: ...
