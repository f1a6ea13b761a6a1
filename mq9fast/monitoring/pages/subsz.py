"""/subsz: counters of the subscriptions, and a list of them if the query says so, with nats-server's fields.

It reads the sublist and the subscriptions of every connection.
"""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import ClassVar

from mq9fast._core.protocol.address import MSG_PREFIX, OUR_PREFIX, PRIORITIES, split_destination
from mq9fast._core.protocol.subject import is_valid_subject
from mq9fast._core.pubsub.client import Subscription
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import ACCOUNT, JSON, Page, json_array, json_object, json_page
from mq9fast.monitoring.privacy import Privacy
from mq9fast.monitoring.query import GoInt, ListQuery, read_query, wrong_parameter
from mq9fast.monitoring.subscriptions import NO_SUBSCRIPTIONS, sublist_stats, subscription_infos
from mq9fast.monitoring.units import timestamp

# Comparing this many subjects takes less than a millisecond.
SUBSCRIPTIONS_PER_PIECE = 4096


class SubszQuery(ListQuery, frozen=True):
    """The parameters of /subsz."""

    subs: bool = False
    offset: GoInt = 0
    test: str = ""
    acc: str = ""

    expected: ClassVar[dict[str, str]] = {
        "limit": "a whole number of subscriptions",
        "offset": "a whole number of subscriptions",
        "test": "a valid subject without wildcards",
        "acc": "the name of an account",
    }


class Subsz:
    """The page of one broker."""

    def __init__(self, broker: BrokerView, privacy: Privacy) -> None:
        self._broker = broker
        self._privacy = privacy

    def page(self, query_string: str) -> Page:
        """Raises HttpError (400)."""
        query = read_query(query_string, SubszQuery)
        test = query.test.encode("utf-8", "replace")
        if test and not _is_publishable(test):
            raise wrong_parameter(SubszQuery, "test")
        if query.acc not in {"", ACCOUNT}:
            return json_page({**self._counters(query, 0), **NO_SUBSCRIPTIONS})
        if not query.subs:
            return json_page(self._counters(query, 0))
        return Page(200, JSON, self._listed(query, test))

    def _counters(self, query: SubszQuery, total: int) -> dict[str, object]:
        engine = self._broker.engine
        return {
            "server_id": self._broker.handshake.server_id,
            "now": timestamp(engine.time.wall_ms(engine.time.now_ms)),
            **sublist_stats(engine),
            "total": total,
            "offset": max(query.offset, 0),
            "limit": query.max_entries,
        }

    def _listed(self, query: SubszQuery, test: bytes) -> Iterator[bytes]:
        """The page with a list. `total` counts all that match, so every subscription is compared."""
        limit = query.max_entries
        selected: list[Subscription] = []
        total = 0
        for part in self._matching(test):
            start = max(query.offset - total, 0)
            if start < len(part) and len(selected) < limit:
                selected += islice(part, start, min(start + limit - len(selected), len(part)))
            total += len(part)
            yield b""
        listed = json_array(subscription_infos(selected, self._privacy, ACCOUNT))
        yield from json_object(self._counters(query, total), "subscriptions_list", listed)

    def _matching(self, test: bytes) -> Iterator[Collection[Subscription]]:
        """The subscriptions that get a message published to `test`, or all if it is empty, in parts."""
        if test and not test.startswith(OUR_PREFIX.encode()):
            plain, groups = self._broker.engine.router.sublist.matches(test)
            yield from (plain, *groups)
            return
        wanted = _subscribed_subjects(test)
        for connection in list(self._broker.connections.values()):
            subscriptions = connection.session.subscriptions.values()
            yield from _with_subject(wanted, list(subscriptions)) if test else (subscriptions,)


def _with_subject(wanted: set[bytes], subscriptions: list[Subscription]) -> Iterator[list[Subscription]]:
    for start in range(0, len(subscriptions), SUBSCRIPTIONS_PER_PIECE):
        part = subscriptions[start : start + SUBSCRIPTIONS_PER_PIECE]
        yield [it for it in part if it.subject in wanted]


def _is_publishable(subject: bytes) -> bool:
    return is_valid_subject(subject) and not {b"*", b">"} & set(subject.split(b"."))


def _subscribed_subjects(subject: bytes) -> set[bytes]:
    """The subjects that a message for a mailbox, published to `subject`, is delivered to.

    None if `subject` is not a mailbox's.
    """
    prefix = MSG_PREFIX.encode()
    destination = split_destination(subject.removeprefix(prefix)) if subject.startswith(prefix) else None
    if destination is None:
        return set()
    address, rank = destination
    return {prefix + address + tail for tail in (b"", b".*", b"." + PRIORITIES[rank].encode())}
