from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.deleter import Deleter
from mq9fast._core.mailbox.mailbox import MailboxIndex
from mq9fast.storage.store import Store

class Expirer:
    def __init__(
        self, mailbox_index: MailboxIndex, accumulator: Accumulator, deleter: Deleter, *, store: Store
    ) -> None: ...
    @property
    def expired(self) -> int: ...
    def work_some(self) -> bool: ...
