"""Subscriptions as /connz and /subsz show them, with nats-server's fields."""

from collections.abc import Iterable, Iterator

import msgspec

from mq9fast._core.pubsub.client import Subscription
from mq9fast.monitoring.privacy import Privacy
from mq9fast.text import printable


class SubscriptionInfo(msgspec.Struct, omit_defaults=True, gc=False):
    """One subscription. `msgs` counts deliveries; the subscription ends after `max` of them (0: no limit)."""

    subject: str
    sid: str
    msgs: int
    cid: int
    qgroup: str = ""
    max: int = 0


def subscription_infos(subscriptions: Iterable[Subscription], privacy: Privacy) -> Iterator[SubscriptionInfo]:
    """Every field of each subscription, with private addresses masked."""
    for subscription in subscriptions:
        queue = "" if subscription.queue is None else printable(subscription.queue.decode("utf-8", "replace"))
        yield SubscriptionInfo(
            subject=privacy.subject(subscription),
            sid=privacy.name(printable(subscription.sid.decode("utf-8", "replace"))),
            msgs=subscription.delivered,
            cid=subscription.client.cid,
            qgroup=privacy.name(queue),
            max=subscription.maximum,
        )
