from mq9fast._core.client import Subscription
from mq9fast._core.mailbox import Mailbox
from mq9fast._core.source import Source

class Member:
    def __init__(self, subscription: Subscription, ranks: int) -> None: ...

class Group(Source):
    def __init__(self, mailbox: Mailbox, name: bytes) -> None: ...
    @property
    def name(self) -> bytes: ...
