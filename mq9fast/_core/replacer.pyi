from collections.abc import Callable
from typing import Any

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.dropper import Dropper
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.storage.store import Store

class Replacer:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        pending_work: PendingWork,
        accumulator: Accumulator,
        dropper: Dropper,
        hash_key: bytes,
        *,
        store: Store,
        finish_write: Callable[[], Any],
    ) -> None: ...
    def find_key(self, mailbox: Mailbox, key: bytes) -> tuple[int, int] | None: ...
    def load(self) -> None: ...
    def work_some(self) -> bool: ...
