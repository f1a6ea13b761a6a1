from collections.abc import Callable
from typing import Any

from mq9fast._core.commit.commit_group import CommitGroup
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.mailbox.mailbox import Mailbox, MailboxIndex
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.storage.store import Store

class MailboxWriter:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        delivery: Delivery,
        pending_work: PendingWork,
        commit_group: CommitGroup,
        refusals: dict[str, bytes],
        *,
        max_messages: int,
        max_mailbox_bytes: int,
        max_store_bytes: int,
        stall_bytes: int,
    ) -> None: ...
    unreleased: CommitGroup | None
    store: Store
    store_error: type[Exception] | tuple[type[Exception], ...] | None
    write_out: Callable[[], Any] | None
    command: Callable[[bytes, bytes, bytes], Any] | None
    failed: bool
    disk_full: bool
    max_messages: int
    max_mailbox_bytes: int
    max_store_bytes: int
    auto_create: Callable[[bytes], Mailbox | None] | None
    @property
    def commit_group(self) -> CommitGroup: ...
    @property
    def group_number(self) -> int: ...
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
    def next_group(self, successor: CommitGroup) -> CommitGroup: ...
