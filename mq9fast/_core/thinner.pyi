from mq9fast._core.mailbox.mailbox import MailboxIndex
from mq9fast._core.mailbox_writer import MailboxWriter
from mq9fast.storage.store import Store

class Thinner:
    def __init__(self, mailbox_index: MailboxIndex, mailbox_writer: MailboxWriter) -> None: ...
    def step(self, store: Store, max_bytes: int) -> bool: ...
