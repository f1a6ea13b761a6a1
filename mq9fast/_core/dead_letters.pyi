from collections.abc import Callable

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.deleter import Deleter
from mq9fast._core.delivery.events import Events
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.message_adder import MessageAdder
from mq9fast._core.receipts import Receipts
from mq9fast.storage.store import Store

class DeadLetters:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        accumulator: Accumulator,
        adder: MessageAdder,
        deleter: Deleter,
        receipts: Receipts,
        events: Events,
        *,
        store: Store,
        create: Callable[[bytes], Mailbox | None],
    ) -> None: ...
    @property
    def moved(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    def bury(self, mailbox: Mailbox, msg_id: int, deliveries: int) -> bool: ...
