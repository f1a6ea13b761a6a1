from collections.abc import Callable, Iterable
from typing import Any

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.dead_letters import DeadLetters
from mq9fast._core.delayer import Delayer
from mq9fast._core.deleter import Deleter
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.receipts import Receipts
from mq9fast.storage.store import Store

class RowsInOrder: ...

class Expirer:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        accumulator: Accumulator,
        deleter: Deleter,
        delayer: Delayer,
        receipts: Receipts,
        dead_letters: DeadLetters,
        *,
        store: Store,
        write_batch: Callable[[], Any],
    ) -> None: ...
    @property
    def expired(self) -> int: ...
    def note_written(self, mailboxes: Iterable[Mailbox], durable: bool) -> None: ...
    def work_some(self) -> bool: ...
