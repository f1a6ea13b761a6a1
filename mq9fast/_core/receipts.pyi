from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.message_adder import MessageAdder
from mq9fast.storage.store import Store

class Receipts:
    def __init__(
        self, mailbox_index: MailboxIndex, accumulator: Accumulator, adder: MessageAdder, *, store: Store
    ) -> None: ...
    @property
    def sent(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    def replaced(self, mailbox: Mailbox, msg_id: int, block: bytes | None, may_discard: bool) -> None: ...
