from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast.storage.store import Store

class Failures:
    def __init__(self, mailbox_index: MailboxIndex, accumulator: Accumulator, *, store: Store) -> None: ...
    @property
    def counted(self) -> int: ...

def failed_deliveries(store: Store, mailbox: Mailbox, msg_id: int) -> int: ...
