from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.deleter import Deleter
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.message_adder import MessageAdder
from mq9fast.storage.store import Store

class Answerer:
    def __init__(
        self,
        mailbox_index: MailboxIndex,
        accumulator: Accumulator,
        adder: MessageAdder,
        deleter: Deleter,
        *,
        store: Store,
    ) -> None: ...
    @property
    def answered(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def sent(self) -> bytes | None: ...
