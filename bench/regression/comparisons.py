"""The measured parts of the core, each with a reference implementation that does the same work."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench.regression import reference
from mq9fast._core.base.limits import Limits
from mq9fast._core.mailbox.options import MailboxOptions
from mq9fast._core.pubsub.client import Client, PendingWork
from mq9fast._core.pubsub.sublist import Sublist
from mq9fast._core.testing.protocol import read_header_block
from mq9fast._core.testing.pubsub import add_subscription, begin_end_of_turn, remove_subscription
from tests.support.in_memory import KIB, Core, Peer, hpub, pub

MSG = b"$mq9.AI.MAILBOX.MSG.b"
INBOX = b"_INBOX.a"
FRAMES = 1000
BLOCKS = 50
MEMBERS = 8
SHARE = 125


class Comparison(NamedTuple):
    """Each call of either function does the same work. `prepare` runs, untimed, before each `run_core`."""

    run_core: Callable[[], object]
    run_reference: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


def to_nobody() -> Comparison:
    """A read full of PUBs without a subscription."""
    peer = Core(read_bytes=256 * KIB).session()
    data = pub(b"bench.subject", b"x" * 16) * FRAMES
    return Comparison(lambda: peer.feed(data), lambda: reference.publish(data, {}))


def one_to_one() -> Comparison:
    """The same with one subscriber. Its output is discarded."""
    core = Core(read_bytes=256 * KIB)
    sender, receiver = core.session(), core.session()
    receiver.feed(b"SUB bench.subject 1\r\n")
    data = pub(b"bench.subject", b"x" * 16) * FRAMES

    def run_core() -> None:
        sender.feed(data)
        receiver.output()

    return Comparison(run_core, lambda: reference.publish(data, {b"bench.subject": [(b"1", bytearray())]}))


def send() -> Comparison:
    """Messages to a mailbox, each answered at the end of the turn. The store is a dictionary."""
    data = pub(MSG, b"x" * 100, INBOX) * FRAMES
    # One core for all rounds: the pages of a new one would cost as much as the messages.
    core = Core(read_bytes=256 * KIB)
    core.create(b"b")
    peer = core.session()
    peer.feed(b"SUB %b 1\r\n" % INBOX)
    core.end_turn()

    def prepare() -> None:
        core.store.pairs.clear()
        peer.connection.written.clear()

    def run_core() -> None:
        peer.feed(data)
        core.end_turn()
        assert peer.connection.written

    return Comparison(run_core, lambda: reference.send(data, {b"b": 0}, {}, bytearray()), prepare)


def send_to_status() -> Comparison:
    """Messages of which a mailbox keeps the latest, compared with plain sends."""
    frame = pub(MSG, b"x" * 100, INBOX)
    return compared_with_plain_sends(frame, frame, MailboxOptions(max_messages=1, discards_old=True))


def send_with_key() -> Comparison:
    """Messages that replace the one with their key, compared with messages that have another header."""
    frames = [
        hpub(MSG, b"NATS/1.0\r\n%b: worker.17\r\n\r\n" % name, b"x" * 100, INBOX)
        for name in (b"Mq9-Key", b"Task-Id")
    ]
    return compared_with_plain_sends(*frames, None)


def compared_with_plain_sends(frame: bytes, plain_frame: bytes, options: MailboxOptions | None) -> Comparison:
    """Send `frame` to a mailbox with `options`, and `plain_frame` to one without."""
    plain, measured = core_that_answers(None), core_that_answers(options)

    def run_plain() -> None:
        plain.core.store.pairs.clear()
        plain.feed(plain_frame * FRAMES)
        plain.after_turn()

    def run_core() -> None:
        measured.feed(frame * FRAMES)
        measured.after_turn()
        assert measured.core.mailbox_index.message_count == 1

    return Comparison(run_core, run_plain)


def core_that_answers(options: MailboxOptions | None) -> Peer:
    """A client of a core with a mailbox that has these options. It receives the replies."""
    core = Core(read_bytes=256 * KIB)
    core.mailbox_index.set_options(core.create(b"b"), options)
    peer = core.session()
    peer.feed(b"SUB %b 1\r\n" % INBOX)
    core.end_turn()
    return peer


def read_headers() -> Comparison:
    """Check blocks of 40 headers. Two of them are options, and four are removed."""
    lines = b"Trace-Id: 0af7651916cd43dd8448eb211c80319c\r\n" * 17 + b"Mq9-From: a\r\nMq9-Receipt: b\r\n"
    block = b"NATS/1.0\r\n%bNats-Msg-Id: 1\r\n%bNats-TTL: 1\r\n\r\n" % (lines, lines)

    def run_core() -> None:
        for _ in range(BLOCKS):
            read_header_block(block)

    def run_reference() -> None:
        for _ in range(BLOCKS):
            reference.read_headers(block)

    assert read_header_block(block)[1] == reference.read_headers(block)
    return Comparison(run_core, run_reference)


def core_with_messages() -> Core:
    """The core with a mailbox that has FRAMES messages."""
    core = Core(read_bytes=256 * KIB)
    core.create(b"b")
    core.session().feed(pub(MSG, b"x" * 100) * FRAMES)
    core.end_turn()
    return core


class SortedStore:
    """A store that only scans. Its pairs are sorted once, so that a scan is cheap."""

    def __init__(self, pairs: dict[bytes, bytes]) -> None:
        self.pairs = sorted(pairs.items())

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.pairs[bisect_left(self.pairs, (first,)) : bisect_left(self.pairs, (end,))])


def replay() -> Comparison:
    """A subscription to a mailbox with messages, until it has received them all."""
    core = core_with_messages()
    store: Any = SortedStore(core.store.pairs)
    stored = {reference.KEY.pack(1, 2, msg_id): b"x" * 100 for msg_id in range(FRAMES)}

    def run_core() -> None:
        peer = core.session()
        peer.feed(b"SUB %b 1\r\n" % MSG)
        while peer.session.out_messages < FRAMES:
            begin_end_of_turn(core.pending_work)
            core.delivery.catch_up(store)
        peer.session.closed()

    return Comparison(run_core, lambda: reference.replay(stored, MSG, bytearray()))


def share_out() -> Comparison:
    """A queue group receives the messages of a mailbox and answers each of them."""
    # One core for all rounds, as for send().
    core = Core(read_bytes=256 * KIB)
    mailbox = core.create(b"b")
    sender, members = core.session(), [core.session() for _ in range(MEMBERS)]
    answers = bytearray()

    def prepare() -> None:
        for member in members:
            member.feed(b"UNSUB 1\r\n")
            member.output()
        ids = range(mailbox.next_id, mailbox.next_id + FRAMES)
        answers[:] = b"".join(pub(b"$mq9.AI.MAILBOX.DELETE.b.%d" % msg_id) for msg_id in ids)
        sender.feed(pub(MSG, b"x" * 100) * FRAMES)
        core.end_turn()

    def run_core() -> None:
        expected = sum(member.session.out_messages for member in members) + FRAMES
        for member in members:
            member.feed(b"SUB %b g 1\r\n" % MSG)
        while sum(member.session.out_messages for member in members) < expected:
            core.end_turn()
        members[0].feed(answers)
        core.end_turn()
        assert core.mailbox_index.message_count == 0

    messages = [b"x" * 100] * FRAMES
    return Comparison(
        run_core, lambda: reference.share_out(messages, [bytearray() for _ in range(MEMBERS)]), prepare
    )


def share_out_in_flight() -> Comparison:
    """A drain by members that may hold 100 messages each, compared with one by members without that limit."""
    limited, unlimited = drain(MailboxOptions(max_in_flight=100)), drain(None)
    return Comparison(limited, unlimited)


def drain(options: MailboxOptions | None) -> Callable[[], None]:
    """A function that fills a mailbox with FRAMES messages, and has a queue group answer them in shares."""
    core = Core(read_bytes=256 * KIB)
    mailbox = core.create(b"b")
    core.mailbox_index.set_options(mailbox, options)
    sender, members = core.session(), [core.session() for _ in range(MEMBERS)]
    frames = pub(MSG, b"x" * 100) * FRAMES

    def run() -> None:
        first = mailbox.next_id
        sender.feed(frames)
        core.end_turn()
        for member in members:
            member.feed(b"SUB %b g 1\r\n" % MSG)
        for at in range(first, first + FRAMES, SHARE):
            core.end_turn()
            ids = range(at, at + SHARE)
            sender.feed(b"".join(pub(b"$mq9.AI.MAILBOX.DELETE.b.%d" % msg_id) for msg_id in ids))
        core.end_turn()
        assert core.mailbox_index.message_count == 0
        for member in members:
            member.feed(b"UNSUB 1\r\n")
            member.output()

    return run


def match() -> Comparison:
    """Match new subjects against 1,000 literal and 1,000 wildcard subscriptions."""
    trie, reference_trie, client = Sublist(1), reference.Trie(), Client(PendingWork(Limits()), 1)
    for i in range(1000):
        for subject in (b"orders.eu.customer%d.placed" % i, b"orders.*.customer%d.>" % i):
            add_subscription(trie, client, subject)
            reference_trie.add(subject)
    subjects = [b"orders.eu.customer%d.new%d" % (i, i) for i in range(1000)]

    def prepare() -> None:
        """Invalidate the cached matches, as any SUB does. Using more subjects than the cache has slots would
        measure the machine's memory instead."""
        remove_subscription(trie, add_subscription(trie, client, b"orders.new"))

    def run_core() -> None:
        for subject in subjects:
            trie.matches(subject)

    def match_reference() -> None:
        for subject in subjects:
            reference_trie.match(subject)

    return Comparison(run_core, match_reference, prepare)


COMPARISONS = {
    "publish_to_nobody": to_nobody,
    "publish_one_to_one": one_to_one,
    "mailbox_send": send,
    "mailbox_status": send_to_status,
    "mailbox_key": send_with_key,
    "mailbox_headers": read_headers,
    "mailbox_replay": replay,
    "queue_group": share_out,
    "max_in_flight": share_out_in_flight,
    "match_uncached": match,
}
