"""Benchmarks of the parts of the core, in one process, without sockets."""

import pytest

from bench.conftest import Measure
from mq9fast._core.base.limits import Limits
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.protocol.headers import sender_block
from mq9fast._core.pubsub.client import Client, PendingWork
from mq9fast._core.pubsub.sublist import Sublist
from mq9fast._core.testing.base import ExposedBytesMap, ExposedHeap, Ticket
from mq9fast._core.testing.pubsub import add_subscription, remove_subscription
from tests.support.in_memory import KIB, Core, hpub, pub

READ_BYTES = 256 * KIB


def filled(frame: bytes, size: int) -> tuple[bytes, int]:
    """Return as many frames as fit into `size` bytes, and their number."""
    count = size // len(frame)
    return frame * count, count


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pub(b"bench.subject", b"x" * 16), id="PUB_16_B"),
        pytest.param(pub(b"bench.subject", b"x" * 16, b"_INBOX.abcdef.1"), id="PUB_reply_16_B"),
        pytest.param(
            b"HPUB bench.subject 18 34\r\nNATS/1.0\r\nA: b\r\n\r\n" + b"x" * 16 + b"\r\n", id="HPUB_16_B"
        ),
        pytest.param(pub(b"bench.subject", b"x" * KIB), id="PUB_1_KiB"),
        pytest.param(b"PONG\r\n", id="PONG"),
    ],
)
def test_parse_256_KiB(measure: Measure, frame: bytes) -> None:  # noqa: N802
    """A session parses a full read; there is no subscription."""
    session = Core(read_bytes=READ_BYTES).session().session
    data, count = filled(frame, READ_BYTES)
    session.get_buffer(-1)[: len(data)] = data
    measure(count, lambda: session.buffer_updated(len(data)))


@pytest.mark.parametrize("subscribers", [1, 8])
def test_parse_and_deliver_256_KiB_of_PUB_16_B(measure: Measure, subscribers: int) -> None:  # noqa: N802
    """The same with subscribers. Their output is collected and thrown away."""
    core = Core(read_bytes=READ_BYTES)
    peers = [core.session() for _ in range(subscribers)]
    for peer in peers:
        peer.feed(b"SUB bench.subject 1\r\n")
    session = core.session().session
    data, count = filled(pub(b"bench.subject", b"x" * 16), READ_BYTES)

    def turn() -> None:
        session.get_buffer(-1)[: len(data)] = data
        session.buffer_updated(len(data))
        for peer in peers:
            peer.session.take_output()

    measure(count * subscribers, turn)


# The trie of subscriptions.


def sublist(literals: int, wildcards: int) -> Sublist:
    trie, client = Sublist(1), Client(PendingWork(Limits()), 1)
    for i in range(literals):
        add_subscription(trie, client, b"orders.eu.customer%d.placed" % i)
    for i in range(wildcards):
        add_subscription(trie, client, b"orders.*.customer%d.>" % i)
    return trie


SIZES = pytest.mark.parametrize(
    ("literals", "wildcards"), [(1, 0), (1000, 0), (0, 1000), (1000, 1000)], ids=lambda n: str(n)
)


@SIZES
def test_match_cached(measure: Measure, literals: int, wildcards: int) -> None:
    trie = sublist(literals, wildcards)
    subjects = [b"orders.eu.customer%d.placed" % i for i in range(100)]

    def match_all() -> None:
        for subject in subjects:
            trie.matches(subject)

    measure(len(subjects), match_all)


@SIZES
def test_match_uncached(measure: Measure, literals: int, wildcards: int) -> None:
    """No subject is in the cache: there are more subjects than the cache has slots."""
    trie = sublist(literals, wildcards)
    subjects = [b"orders.eu.customer%d.new%d" % (i % 1000, i) for i in range(100_000)]

    def match_all() -> None:
        for subject in subjects:
            trie.matches(subject)

    measure(len(subjects), match_all)


@pytest.mark.parametrize("others", [0, 1000, 100_000])
def test_subscribe_and_unsubscribe(measure: Measure, others: int) -> None:
    trie, client = sublist(others, 0), Client(PendingWork(Limits()), 1)
    subjects = [b"some.other.subject%d" % i for i in range(100)]

    def change() -> None:
        for subscription in [add_subscription(trie, client, subject) for subject in subjects]:
            remove_subscription(trie, subscription)

    measure(len(subjects), change)


# The heap and the map.


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_heap_push_and_take_first(measure: Measure, size: int) -> None:
    """Push 1,000 items onto a heap of `size` items, then take off 1,000."""
    heap = ExposedHeap()
    tickets = [Ticket(heap, i * 7919 % 1_000_003, i) for i in range(size)]
    for ticket in tickets:
        ticket.push()
    more = [Ticket(heap, i * 104_729 % 1_000_003, size + i) for i in range(1000)]

    def push_and_take() -> None:
        taken = []
        for ticket in more:
            ticket.push()
        for _ in more:
            ticket = heap.first_ticket()
            assert ticket is not None
            ticket.remove()
            taken.append(ticket)
        more[:] = taken

    # The next round pushes the items that this round took off, so the heap keeps its size.
    measure(2 * len(more), push_and_take)


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_bytes_map_get(measure: Measure, size: int) -> None:
    bytes_map = ExposedBytesMap(1)
    for i in range(size):
        bytes_map.put(b"agent.inbox.%d" % i, i)
    keys = [b"agent.inbox.%d" % (i * 7919 % size) for i in range(1000)]

    def look_up() -> None:
        for key in keys:
            bytes_map.get(key)

    measure(len(keys), look_up)


@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_bytes_map_put_and_pop(measure: Measure, size: int) -> None:
    bytes_map = ExposedBytesMap(1)
    for i in range(size):
        bytes_map.put(b"agent.inbox.%d" % i, i)
    keys = [b"another.inbox.%d" % i for i in range(1000)]

    def change() -> None:
        for key in keys:
            bytes_map.put(key, key)
        for key in keys:
            bytes_map.pop(key)

    measure(2 * len(keys), change)


# Records.


def gathered(payload_bytes: int) -> tuple[Core, Mailbox, int]:
    """Send about 64 KiB to a mailbox, not yet written; return it and the number of messages."""
    core = Core()
    mailbox = core.create(b"box")
    data, count = filled(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x" * payload_bytes), 64 * KIB)
    core.session().feed(data)
    return core, mailbox, count


@pytest.mark.parametrize("payload_bytes", [100, 10_000])
def test_record_write(measure: Measure, payload_bytes: int) -> None:
    """Parse a read of messages, collect them in the commit group, and make them into record batches."""
    core = Core()
    core.create(b"box")
    peer = core.session()
    data, count = filled(pub(b"$mq9.AI.MAILBOX.MSG.box", b"x" * payload_bytes), 64 * KIB)

    def write() -> None:
        peer.feed(data)
        core.pipeline.write_batch()
        core.store.pairs.clear()

    measure(count, write)


BLOCK = b"NATS/1.0\r\n%b\r\n"
TRACE_ID = b"Trace-Id: 0af7651916cd43dd8448eb211c80319c\r\n"


@pytest.mark.parametrize("signed_in", [False, True], ids=["no_name", "with_a_name"])
@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="no_headers"),
        pytest.param(BLOCK % TRACE_ID, id="1_header"),
        pytest.param(BLOCK % (TRACE_ID * 5), id="5_headers"),
        pytest.param(BLOCK % (TRACE_ID + b"Nats-Msg-Id: 17\r\n"), id="1_header_and_1_option"),
        pytest.param(BLOCK % (TRACE_ID + b"Mq9-From: anna\r\n"), id="1_header_and_1_removed"),
    ],
)
def test_record_write_with_headers(measure: Measure, header: bytes, signed_in: bool) -> None:
    """As `test_record_write`, with headers, and of a client that signed in with a name."""
    core = Core()
    core.create(b"box")
    peer = core.session()
    peer.session.sender_block = sender_block(b"anna") if signed_in else None
    frame = hpub(b"$mq9.AI.MAILBOX.MSG.box", header, b"x" * 100)
    count = 500
    data = frame * count

    def write() -> None:
        peer.feed(data)
        core.pipeline.write_batch()
        core.store.pairs.clear()

    measure(count, write)


@pytest.mark.parametrize("payload_bytes", [100, 10_000])
def test_record_read(measure: Measure, payload_bytes: int) -> None:
    """Read record batches message by message, as LIST does."""
    core, mailbox, count = gathered(payload_bytes)
    core.end_turn()

    def read() -> None:
        assert sum(1 for _ in stored_messages(core.store, mailbox, 2, 0)) == count

    measure(count, read)
