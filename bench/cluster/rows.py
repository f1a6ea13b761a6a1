"""What is compared: messages that are acknowledged when a majority of the servers has fsynced them.

They have 100 bytes where no size is named.
"""

import selectors
from collections.abc import Callable, Mapping
from functools import partial

from bench.cluster.rabbit import QUORUM, rabbit_in_turn, rabbit_pipelined, rabbit_senders
from bench.cluster.servers import JETSTREAM, REPLICATED
from bench.peers.comparison import MICROSECONDS, RATE, Comparison, Figure, Lap, Row, Side
from bench.peers.nats import ACKS, JETSTREAM_WINDOW, keeper, pub
from bench.peers.rows_send import BODY, send, send_one_at_a_time
from bench.peers.servers import Server, mq9fast
from tests.support.wire_client import Wire

Figures = Mapping[str, Figure]
SENDERS = 64
TEXT_BYTES = 1024
IN_FLIGHT = f"{JETSTREAM_WINDOW:,} in flight"
LOCAL = "mq9fast, one node"


def send_by_many(server: Server, *, row: str, count: int) -> Figures:
    """`SENDERS` connections, each of which waits for the reply before it sends again."""
    wires = [Wire(server.port) for _ in range(SENDERS)]
    kept = keeper(server, wires[0])
    kept.make(["bench"])
    frame = pub(kept.subject + "bench", BODY, ACKS + b".%d")
    selector = selectors.DefaultSelector()
    for n, wire in enumerate(wires):
        inbox = ACKS + b".%d" % n
        wire.sub(inbox.decode(), "acks")
        wire.ping()
        wire.socket.settimeout(None)
        selector.register(wire.socket, selectors.EVENT_READ, frame % n)
    with Lap(server) as lap:
        for key in selector.get_map().values():
            key.fileobj.sendall(key.data)  # type: ignore[union-attr]
        left = count
        while left > 0:
            for key, _ in selector.select():
                key.fileobj.recv(4096)  # type: ignore[union-attr]
                key.fileobj.sendall(key.data)  # type: ignore[union-attr]
                left -= 1
    return {row: lap.rate(count - left)}


def comparisons(scale: float) -> list[Comparison]:
    def count(full: int) -> int:
        return max(1, round(full * scale / 1000)) * 1000

    return [pipelined(count), pipelined_text(count), many_in_turn(count), in_turn(count)]


Counter = Callable[[int], int]


def pipelined(count: Counter) -> Comparison:
    row = "sent, acknowledged, pipelined"
    ratios = {JETSTREAM.name: 5.0, QUORUM.name: 15.0, LOCAL: 0.5}
    return Comparison(
        [Row(row, RATE, ratios)],
        [
            Side(REPLICATED, partial(send, row=row, count=count(1_000_000))),
            Side(JETSTREAM, partial(send, row=row, count=count(50_000)), IN_FLIGHT),
            Side(QUORUM, partial(rabbit_pipelined, row=row, count=count(20_000))),
            Side(mq9fast("always"), partial(send, row=row, count=count(1_000_000)), name=LOCAL),
        ],
    )


def pipelined_text(count: Counter) -> Comparison:
    """Messages of JSON: those of 100 bytes are all the same, and a record of them is compressed to little."""
    row = f"sent, acknowledged, pipelined, {TEXT_BYTES:,} B of JSON"
    send_text = partial(send, row=row, size=TEXT_BYTES)
    return Comparison(
        [Row(row, RATE, {JETSTREAM.name: None, LOCAL: None})],
        [
            Side(REPLICATED, partial(send_text, count=count(200_000))),
            Side(JETSTREAM, partial(send_text, count=count(50_000)), IN_FLIGHT),
            Side(mq9fast("always"), partial(send_text, count=count(200_000)), name=LOCAL),
        ],
    )


def many_in_turn(count: Counter) -> Comparison:
    row = f"sent by {SENDERS}, each one at a time"
    ratios = {JETSTREAM.name: 1.3, QUORUM.name: None, LOCAL: 0.5}
    work = partial(send_by_many, row=row, count=count(20_000))
    return Comparison(
        [Row(row, RATE, ratios)],
        [
            Side(REPLICATED, work),
            Side(JETSTREAM, work),
            Side(QUORUM, partial(rabbit_senders, row=row, count=count(20_000), senders=SENDERS)),
            Side(mq9fast("always"), work, name=LOCAL),
        ],
    )


def in_turn(count: Counter) -> Comparison:
    row = "sent one at a time"
    work = partial(send_one_at_a_time, row=row, count=count(2_000))
    # JetStream's p50 is the one that the broker waits for, and one hop more.
    ratios = {JETSTREAM.name: 1 / 1.7, QUORUM.name: None, LOCAL: None}
    return Comparison(
        [Row(f"{row}, p50", MICROSECONDS, ratios)],
        [
            Side(REPLICATED, work),
            Side(JETSTREAM, work),
            Side(QUORUM, partial(rabbit_in_turn, row=row, count=count(2_000))),
            Side(mq9fast("always"), work, name=LOCAL),
        ],
    )
