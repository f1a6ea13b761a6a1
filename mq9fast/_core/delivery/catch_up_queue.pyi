from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.pubsub.client import PendingWork

class CatchUpQueue:
    def __init__(self, mailbox_index: MailboxIndex, pending_work: PendingWork) -> None: ...
