from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.deleter import Deleter
from mq9fast._core.mailbox.mailbox import MailboxIndex

class Dropper:
    def __init__(self, mailbox_index: MailboxIndex, accumulator: Accumulator, deleter: Deleter) -> None: ...
    @property
    def discarded(self) -> int: ...
