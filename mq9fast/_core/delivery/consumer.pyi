from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.pubsub.client import Subscription

class Consumer: ...

class PlainConsumer(Consumer):
    def __init__(self, mailbox: Mailbox, subscription: Subscription, ranks: int) -> None: ...
