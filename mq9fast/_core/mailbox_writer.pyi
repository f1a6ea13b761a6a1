from collections.abc import Callable
from typing import Any

from mq9fast._core.commit.commit_group import Turn
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.mailbox.mailbox import Directory, Mailbox
from mq9fast._core.pubsub.client import Agenda
from mq9fast.storage.store import Store

class Intake:
    def __init__(
        self,
        directory: Directory,
        delivery: Delivery,
        agenda: Agenda,
        turn: Turn,
        refusals: dict[str, bytes],
        *,
        most_messages: int,
        most_mailbox_bytes: int,
        most_store_bytes: int,
        stall_bytes: int,
    ) -> None: ...
    unreleased: Turn | None
    store: Store
    store_error: type[Exception] | tuple[type[Exception], ...] | None
    write_out: Callable[[], Any] | None
    command: Callable[[bytes, bytes, bytes], Any] | None
    failed: bool
    full: bool
    most_messages: int
    most_mailbox_bytes: int
    most_store_bytes: int
    auto_create: Callable[[bytes], Mailbox | None] | None
    @property
    def turn(self) -> Turn: ...
    @property
    def turn_number(self) -> int: ...
    @property
    def accepted(self) -> int: ...
    @property
    def deleted(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def over_limit(self) -> int: ...
    row_bytes: int
    def forget_rows(self) -> None: ...
    def next_turn(self, successor: Turn) -> Turn: ...
