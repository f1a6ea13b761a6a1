"""Subscriptions in pages, as nats-server writes them."""

from collections.abc import Iterable, Iterator

import msgspec

from mq9fast._core.pubsub.client import Subscription
from mq9fast.monitoring.privacy import Privacy
from mq9fast.text import printable


class SubDetail(msgspec.Struct, omit_defaults=True, gc=False):
    """One subscription. `msgs` is what was delivered on it, `max` where it ends."""

    subject: str
    sid: str
    msgs: int
    cid: int
    qgroup: str = ""
    max: int = 0


def details(subscriptions: Iterable[Subscription], privacy: Privacy) -> Iterator[SubDetail]:
    """Subscriptions with all there is to say of them."""
    for one in subscriptions:
        queue = "" if one.queue is None else printable(one.queue.decode("utf-8", "replace"))
        yield SubDetail(
            subject=privacy.subject(one),
            sid=privacy.name(printable(one.sid.decode("utf-8", "replace"))),
            msgs=one.delivered,
            cid=one.client.cid,
            qgroup=privacy.name(queue),
            max=one.maximum,
        )
