"""Subscriptions as /connz and /subsz show them, with nats-server's fields."""

from collections.abc import Iterable, Iterator

import msgspec

from mq9fast._core.engine import Engine
from mq9fast._core.pubsub.client import Subscription
from mq9fast.monitoring.privacy import Privacy
from mq9fast.network.connection_record import ConnectionRecord
from mq9fast.text import printable

# The counters of an account without subscriptions.
NO_SUBSCRIPTIONS: dict[str, float] = dict.fromkeys(
    (
        *("num_subscriptions", "num_cache", "num_inserts", "num_removes", "num_matches"),
        *("cache_hit_rate", "max_fanout", "avg_fanout"),
    ),
    0,
)


class SubscriptionInfo(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One subscription. `account` and `account_tag`: "" if they are not shown. `msgs` counts deliveries; the
    subscription ends after `max` of them (0: no limit).
    """

    account: str = ""
    account_tag: str = ""
    subject: str
    sid: str
    msgs: int
    cid: int
    qgroup: str = ""
    max: int = 0


def subscription_infos(
    subscriptions: Iterable[Subscription], privacy: Privacy, account: str = ""
) -> Iterator[SubscriptionInfo]:
    """Every field of each subscription, with private addresses masked."""
    for subscription in subscriptions:
        queue = "" if subscription.queue is None else printable(subscription.queue.decode("utf-8", "replace"))
        yield SubscriptionInfo(
            account=account,
            account_tag=account,
            subject=privacy.subject(subscription),
            sid=privacy.name(printable(subscription.sid.decode("utf-8", "replace"))),
            msgs=subscription.delivered,
            cid=subscription.client.cid,
            qgroup=privacy.name(queue),
            max=subscription.maximum,
        )


def ended_infos(record: ConnectionRecord, privacy: Privacy) -> Iterator[SubscriptionInfo]:
    """The same for the subscriptions that a closed connection had. As on nats-server, `max` is left out."""
    for subscription in record.ended_subscriptions:
        yield SubscriptionInfo(
            subject=privacy.ended_subject(subscription),
            sid=privacy.name(printable(subscription.sid)),
            msgs=subscription.delivered,
            cid=record.cid,
            qgroup=privacy.name(printable(subscription.queue)),
        )


def sublist_stats(engine: Engine) -> dict[str, float]:
    """The counters of all subscriptions."""
    sublist = engine.router.sublist
    cached, max_fanout, matched = sublist.fanout()
    return {
        "num_subscriptions": engine.subscribed - engine.unsubscribed,
        "num_cache": cached,
        "num_inserts": engine.subscribed,
        "num_removes": engine.unsubscribed,
        "num_matches": sublist.lookups,
        "cache_hit_rate": 1 - sublist.misses / sublist.lookups if sublist.lookups else 0.0,
        "max_fanout": max_fanout,
        "avg_fanout": matched / cached if cached else 0.0,
    }
