"""The cost of many idle connections and mailboxes, and of a start with a million mailboxes."""

import resource
import time
from collections.abc import Mapping
from functools import partial

from bench.peers.comparison import BYTES, SECONDS, Comparison, Figure, Row, Side
from bench.peers.nats import NATS, Stream, jetstream, keeper, store
from bench.peers.payloads import payloads
from bench.peers.servers import Server, mq9fast
from tests.support.wire_client import Wire

Figures = Mapping[str, Figure]
IDLE = "memory per idle connection"
EACH = "memory per mailbox with a message in it"
START = "start with 1,000,000 mailboxes and 1,000,000 messages"
# The first fifth is not measured: it also pays for memory of the store that later ones reuse.
FIRST_SHARE = 5


def connect(server: Server, *, count: int) -> Figures:
    allow_files(count + 100)
    before = server.settled_rss_bytes()
    wires = []
    for _ in range(count):
        wire = Wire(server.port)
        wire.ping()
        wires.append(wire)
    added = server.settled_rss_bytes() - before
    for wire in wires:
        wire.close()
    return {IDLE: Figure(added / count)}


def populate(server: Server, *, count: int) -> Figures:
    """Create `count` mailboxes or subjects with one message each, then stop and start the server."""
    names = [f"bench.{n:07}" for n in range(count)]
    first = count // FIRST_SHARE
    store(server, names[:first], payloads(100))
    before = server.settled_rss_bytes()
    store(server, names[first:], payloads(100))
    each = Figure((server.settled_rss_bytes() - before) / (count - first))
    server.stop()
    began = time.perf_counter()
    server.start()
    wait_for_last(server, names)
    seconds = time.perf_counter() - began
    return {EACH: each, START: Figure(seconds, seconds, server.cpu_seconds())}


def wait_for_last(server: Server, names: list[str]) -> None:
    """Wait until the message that was stored last can be read."""
    wire = Wire(server.port)
    if isinstance(kept := keeper(server, wire), Stream):
        kept.last(names[-1])
    else:
        assert kept.stored(names[-1:]) == 1


def allow_files(count: int) -> None:
    """Raise the limit of open files, for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))


def comparisons(scale: float) -> list[Comparison]:
    connections = round(5000 * scale)
    mailboxes = max(50, round(1000 * scale)) * 1000
    idle = partial(connect, count=connections)
    many = partial(populate, count=mailboxes)
    return [
        Comparison([Row(IDLE, BYTES, {NATS.name: 1.0})], [Side(mq9fast(), idle), Side(NATS, idle)]),
        Comparison(
            [
                Row(EACH, BYTES, {"JetStream": None}, maximum=600),
                Row(START, SECONDS, {"JetStream": 1.0}, maximum=10),
            ],
            [
                Side(mq9fast("interval"), many),
                Side(jetstream(), many, "one stream, a subject for each mailbox"),
            ],
        ),
    ]
