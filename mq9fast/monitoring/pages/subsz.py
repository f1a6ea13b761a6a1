"""/subsz: figures of the subscriptions, and a page of them, in nats-server's words."""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from mq9fast._core.protocol.address import split_destination
from mq9fast._core.protocol.subject import is_valid_subject
from mq9fast._core.pubsub.client import Subscription
from mq9fast.monitoring.page import (
    ACCOUNT,
    JSON,
    Page,
    Query,
    RefusedMessages,
    Whole,
    json_list,
    json_page,
    json_with,
    read_query,
)
from mq9fast.monitoring.privacy import PREFIX, Privacy
from mq9fast.monitoring.subscriptions import details
from mq9fast.monitoring.units import timestamp

if TYPE_CHECKING:
    from mq9fast.server.broker import Broker

DEFAULT_LIMIT = 1024
# The figures of an account that there is not.
NOTHING = dict.fromkeys(
    (
        *("num_subscriptions", "num_cache", "num_inserts", "num_removes", "num_matches"),
        *("cache_hit_rate", "max_fanout", "avg_fanout"),
    ),
    0,
)
PRIORITIES = (b".critical", b".urgent", b".normal")
# Subscriptions that are looked at between two looks at the clock.
RUN = 4096


class SubszQuery(Query, frozen=True):
    """What may be asked for."""

    subs: bool = False
    limit: Whole = DEFAULT_LIMIT
    offset: Whole = 0
    test: str = ""
    acc: str = ""

    takes: ClassVar[dict[str, str]] = {
        "subs": "true or false",
        "limit": "a whole number of subscriptions",
        "offset": "a whole number of subscriptions",
        "test": "a subject that can be published to",
        "acc": "the name of an account",
    }


class Subsz:
    """The page of one broker."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._privacy = Privacy(broker.mailboxes.mailbox_index)

    def page(self, query: str) -> Page:
        """Raises Refused (400)."""
        asked = read_query(query, SubszQuery)
        test = asked.test.encode("utf-8", "replace")
        if test and not _can_be_published_to(test):
            raise RefusedMessages(400, f"The parameter test must be {asked.takes['test']}.")
        if asked.acc not in {"", ACCOUNT}:
            return json_page({**self._figures(asked, 0), **NOTHING})
        if not asked.subs:
            return json_page(self._figures(asked, 0))
        return Page(200, JSON, self._listed(asked, test))

    def _figures(self, asked: SubszQuery, total: int) -> dict[str, object]:
        engine = self._broker.engine
        sublist = engine.router.sublist
        cached, most, matched = sublist.fanout()
        return {
            "server_id": self._broker.handshake.server_id,
            "now": timestamp(engine.time.wall_ms(engine.time.now_ms)),
            "num_subscriptions": engine.subscribed - engine.unsubscribed,
            "num_cache": cached,
            "num_inserts": engine.subscribed,
            "num_removes": engine.unsubscribed,
            "num_matches": sublist.lookups,
            "cache_hit_rate": 1 - sublist.misses / sublist.lookups if sublist.lookups else 0.0,
            "max_fanout": most,
            "avg_fanout": matched / cached if cached else 0.0,
            "total": total,
            "offset": max(asked.offset, 0),
            "limit": asked.limit if asked.limit > 0 else DEFAULT_LIMIT,
        }

    def _listed(self, asked: SubszQuery, test: bytes) -> Iterator[bytes]:
        limit = asked.limit if asked.limit > 0 else DEFAULT_LIMIT
        shown: list[Subscription] = []
        total = 0
        for some in self._matching(test):
            start = max(asked.offset - total, 0)
            if start < len(some) and len(shown) < limit:
                shown += islice(some, start, min(start + limit - len(shown), len(some)))
            total += len(some)
            yield b""
        listed = json_list(details(shown, self._privacy))
        yield from json_with(self._figures(asked, total), "subscriptions_list", listed)

    def _matching(self, test: bytes) -> Iterator[Collection[Subscription]]:
        """The subscriptions that a message to `test` would match, all if it is empty."""
        if test and not test.startswith(b"$mq9."):
            plain, groups = self._broker.engine.router.sublist.matches(test)
            yield from (plain, *groups)
            return
        wanted = _readers_of(test)
        for connection in list(self._broker.connections.values()):
            some = connection.session.subscriptions.values()
            yield from _only(wanted, list(some)) if test else (some,)


def _only(wanted: set[bytes], some: list[Subscription]) -> Iterator[list[Subscription]]:
    for start in range(0, len(some), RUN):
        yield [one for one in some[start : start + RUN] if one.subject in wanted]


def _can_be_published_to(subject: bytes) -> bool:
    return is_valid_subject(subject) and not {b"*", b">"} & set(subject.split(b"."))


def _readers_of(subject: bytes) -> set[bytes]:
    """The subjects that a mailbox's message to `subject` is delivered to; none if that is no such subject."""
    prefix = PREFIX.encode()
    destination = split_destination(subject.removeprefix(prefix)) if subject.startswith(prefix) else None
    if destination is None:
        return set()
    address, rank = destination
    return {prefix + address + tail for tail in (b"", b".*", PRIORITIES[rank])}
