from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast.storage.store import Store

class DelayedMessages:
    def __init__(self, mailbox_index: MailboxIndex, accumulator: Accumulator, *, store: Store) -> None: ...
