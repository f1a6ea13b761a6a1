from mq9fast._core.base.timers import Timed
from mq9fast._core.delivery.consumer import Consumer
from mq9fast._core.pubsub.client import Subscription

class Member(Timed):
    def __init__(self, group: Consumer, subscription: Subscription, ranks: int) -> None: ...

class MemberRing: ...
