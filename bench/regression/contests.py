"""What is guarded: parts of the core, each with its twin, at the same work."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench.regression import twins
from mq9fast._core.base.limits import Limits
from mq9fast._core.pubsub.client import Client, PendingWork
from mq9fast._core.pubsub.sublist import Sublist
from mq9fast._core.testing.pubsub import add_subscription, begin_end_of_turn, remove_subscription
from tests.support.in_memory import KIB, Parts, Peer, pub

MSG = b"$mq9.AI.MAILBOX.MSG.b"
FRAMES = 1000
MEMBERS = 8


class Contest(NamedTuple):
    """Both sides do the same work once a call; `prepare`, not timed, comes before each call of `part`."""

    part: Callable[[], object]
    twin: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


def to_nobody() -> Contest:
    """A read full of PUB, nobody subscribed."""
    peer = Parts(read_bytes=256 * KIB).session()
    data = pub(b"bench.subject", b"x" * 16) * FRAMES
    return Contest(lambda: peer.feed(data), lambda: twins.publish(data, {}))


def one_to_one() -> Contest:
    """The same with one subscriber, whose output is thrown away."""
    parts = Parts(read_bytes=256 * KIB)
    sender, receiver = parts.session(), parts.session()
    receiver.feed(b"SUB bench.subject 1\r\n")
    data = pub(b"bench.subject", b"x" * 16) * FRAMES

    def part() -> None:
        sender.feed(data)
        receiver.output()

    return Contest(part, lambda: twins.publish(data, {b"bench.subject": [(b"1", bytearray())]}))


def send() -> Contest:
    """Messages to a mailbox, each acknowledged at the end of the turn; the store is a dictionary."""
    data = pub(MSG, b"x" * 100, b"_INBOX.a") * FRAMES
    sides: list[tuple[Parts, Peer]] = []

    def prepare() -> None:
        parts = Parts(read_bytes=256 * KIB)
        parts.create(b"b")
        peer = parts.session()
        peer.feed(b"SUB _INBOX.a 1\r\n")
        parts.end_turn()
        sides[:] = [(parts, peer)]

    def part() -> None:
        parts, peer = sides[0]
        peer.feed(data)
        parts.end_turn()
        assert peer.connection.written

    return Contest(part, lambda: twins.send(data, {b"b": 0}, {}, bytearray()), prepare)


def filled() -> Parts:
    """A mailbox that holds messages."""
    parts = Parts(read_bytes=256 * KIB)
    parts.create(b"b")
    parts.session().feed(pub(MSG, b"x" * 100) * FRAMES)
    parts.end_turn()
    return parts


class SortedStore:
    """Pairs to be scanned, sorted once and for all."""

    def __init__(self, pairs: dict[bytes, bytes]) -> None:
        self.pairs = sorted(pairs.items())

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.pairs[bisect_left(self.pairs, (first,)) : bisect_left(self.pairs, (end,))])


def replay() -> Contest:
    """A subscription to a mailbox that holds messages, until it has them all."""
    parts = filled()
    store: Any = SortedStore(parts.store.pairs)
    stored = {twins.KEY.pack(1, 2, msg_id): b"x" * 100 for msg_id in range(FRAMES)}

    def part() -> None:
        peer = parts.session()
        peer.feed(b"SUB %b 1\r\n" % MSG)
        while peer.session.out_messages < FRAMES:
            begin_end_of_turn(parts.pending_work)
            parts.delivery.catch_up(store)
        peer.session.closed()

    return Contest(part, lambda: twins.replay(stored, MSG, bytearray()))


def share_out() -> Contest:
    """A queue group takes what a mailbox holds, and answers each message."""
    sides: list[tuple[Parts, list[Peer]]] = []
    answers = b"".join(pub(b"$mq9.AI.MAILBOX.DELETE.b.%d" % msg_id) for msg_id in range(FRAMES))

    def prepare() -> None:
        parts = filled()
        sides[:] = [(parts, [parts.session() for _ in range(MEMBERS)])]

    def part() -> None:
        parts, members = sides[0]
        for member in members:
            member.feed(b"SUB %b g 1\r\n" % MSG)
        while sum(member.session.out_messages for member in members) < FRAMES:
            parts.end_turn()
        members[0].feed(answers)
        parts.end_turn()
        assert parts.mailbox_index.message_count == 0

    messages = [b"x" * 100] * FRAMES
    return Contest(part, lambda: twins.share_out(messages, [bytearray() for _ in range(MEMBERS)]), prepare)


def match() -> Contest:
    """Who of 1,000 literal and 1,000 wildcard subscriptions gets a message, for subjects not seen before."""
    trie, twin, client = Sublist(1), twins.Trie(), Client(PendingWork(Limits()), 1)
    for i in range(1000):
        for subject in (b"orders.eu.customer%d.placed" % i, b"orders.*.customer%d.>" % i):
            add_subscription(trie, client, subject)
            twin.add(subject)
    subjects = [b"orders.eu.customer%d.new%d" % (i, i) for i in range(1000)]

    def prepare() -> None:
        """Have what is known of them be stale, as any SUB does: as many subjects as the cache has slots would
        measure how busy the machine's memory is."""
        remove_subscription(trie, add_subscription(trie, client, b"orders.new"))

    def part() -> None:
        for subject in subjects:
            trie.matches(subject)

    def other() -> None:
        for subject in subjects:
            twin.match(subject)

    return Contest(part, other, prepare)


CONTESTS = {
    "publish_to_nobody": to_nobody,
    "publish_one_to_one": one_to_one,
    "mailbox_send": send,
    "mailbox_replay": replay,
    "queue_group": share_out,
    "match_uncached": match,
}
