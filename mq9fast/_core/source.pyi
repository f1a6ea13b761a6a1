from mq9fast._core.client import Subscription
from mq9fast._core.mailbox import Mailbox

class Source: ...

class Reader(Source):
    def __init__(self, mailbox: Mailbox, subscription: Subscription, ranks: int) -> None: ...
