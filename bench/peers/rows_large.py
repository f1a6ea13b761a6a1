"""Messages of 16 B to 1 MiB in mailboxes and JetStream: sends, replays and drains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bench.peers import nats
from bench.peers.comparison import RATE, Comparison, Figure, Row, Side
from bench.peers.frames import MIN_DROPPED_BYTES, Messages
from bench.peers.nats import JETSTREAM_WINDOW, jetstream
from bench.peers.payloads import payloads
from bench.peers.rows_read import MEMBERS, PULL_BATCH, NewSink, marks, read_mailbox, read_stream
from bench.peers.rows_send import IN_FLIGHT, send
from bench.peers.servers import Server, mq9fast
from bench.peers.workers import SkippingWorker

Figures = Mapping[str, Figure]
Read = Callable[[Server, int, tuple[str, str]], Figures]
KIB = 1 << 10
# In flight to either server. Neither becomes faster with 32 MiB.
WINDOW_BYTES = 8 << 20


@dataclass(frozen=True)
class Sends:
    """`count`: of mq9fast. `theirs`: of JetStream. `interval` and `always`: the targets."""

    size: int
    count: int
    theirs: int
    interval: float
    always: float


@dataclass(frozen=True)
class Reads:
    size: int
    count: int


SENDS = [
    Sends(16, 3_000_000, 500_000, 1.0, 1.0),
    Sends(1 * KIB, 400_000, 200_000, 3.5, 2.5),
    Sends(4 * KIB, 100_000, 100_000, 2.0, 1.5),
    Sends(16 * KIB, 24_000, 24_000, 1.5, 1.2),
    Sends(128 * KIB, 4_000, 4_000, 1.3, 1.1),
    # A payload without headers may be as large as max_payload, which is 1 MiB in both servers.
    Sends(1024 * KIB, 500, 500, 1.3, 1.1),
]
READS = [Reads(1 * KIB, 500_000), Reads(16 * KIB, 40_000), Reads(128 * KIB, 5_000)]
READ_TARGET = 1.5


def comparisons(scale: float) -> list[Comparison]:
    sync = [send_comparison(each, sync, scale) for sync in ("interval", "always") for each in SENDS]
    return [*sync, *(read_comparison(each, scale) for each in READS)]


def send_comparison(sends: Sends, sync: str, scale: float) -> Comparison:
    row = f"sent, acknowledged, pipelined, {sync}, {size_name(sends.size)}"
    window = bounded(JETSTREAM_WINDOW, sends.size) if sends.size >= KIB else 0
    work = partial(send, row=row, size=sends.size, window=window)
    note = f"{window:,} in flight" if window else ""
    ratio = sends.interval if sync == "interval" else sends.always
    return Comparison(
        [Row(row, RATE, {"JetStream": ratio})],
        [
            Side(mq9fast(sync), partial(work, count=scaled(sends.count, sends.size, scale)), note),
            Side(
                jetstream(), partial(work, count=scaled(sends.theirs, sends.size, scale)), note or IN_FLIGHT
            ),
        ],
    )


def read_comparison(reads: Reads, scale: float) -> Comparison:
    name, count = size_name(reads.size), scaled(reads.count, reads.size, scale)
    rows = (
        f"replay of stored messages of {name} to a new subscriber",
        f"messages of {name} drained by a queue group of {MEMBERS}, each answered",
    )
    batch = bounded(PULL_BATCH, reads.size)

    def work(read: Read) -> Callable[[Server], Figures]:
        return lambda server: filled_and_read(server, reads.size, count, rows, read)

    # A client that copies each payload is slower than either server.
    sink: NewSink = Messages if reads.size >= MIN_DROPPED_BYTES else marks
    pulls = partial(read_stream, worker=SkippingWorker, batch=batch, sink=sink)
    return Comparison(
        [Row(row, RATE, {"JetStream": READ_TARGET}) for row in rows],
        [
            Side(mq9fast("interval"), work(partial(read_mailbox, worker=SkippingWorker, sink=sink))),
            Side(
                jetstream(),
                work(pulls),
                f"push consumer without acks or flow control; pulls of {batch:,}, explicit acks",
            ),
        ],
    )


def filled_and_read(server: Server, size: int, count: int, rows: tuple[str, str], read: Read) -> Figures:
    """Store the messages, wait until the background work of the server is done, and read them."""
    nats.store(server, ["bench"], payloads(size), count, bounded(JETSTREAM_WINDOW, size))
    server.settled_rss_bytes()
    return read(server, count, rows)


def bounded(count: int, size: int) -> int:
    """Return `count`, or as many messages as WINDOW_BYTES take if that is less."""
    return min(count, WINDOW_BYTES // size)


def scaled(full: int, size: int, scale: float) -> int:
    """Return the count of this run: a multiple of the number of payloads."""
    step = max(len(payloads(size)), 10)
    return max(1, round(full * scale / step)) * step


def size_name(size: int) -> str:
    if size < KIB:
        return f"{size} B"
    return f"{size // KIB:,} KiB" if size < KIB * KIB else f"{size // KIB // KIB} MiB"
