from collections.abc import Callable
from typing import Any

from mq9fast._core.commit.accumulator import Accumulator
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
        accumulator: Accumulator,
        refusals: dict[str, bytes],
        *,
        store: Store,
        store_errors: tuple[type[Exception], ...],
        write_batch: Callable[[], Any],
        create: Callable[[bytes], Mailbox | None],
    ) -> None: ...
    @property
    def accepted(self) -> int: ...
    @property
    def deleted(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def over_limit(self) -> int: ...
