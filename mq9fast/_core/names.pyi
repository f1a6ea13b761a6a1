from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast.storage.store import Store

class Names:
    def __init__(self, accumulator: Accumulator, *, store: Store) -> None: ...
    def find(self, mailbox: Mailbox, name: int) -> int: ...
