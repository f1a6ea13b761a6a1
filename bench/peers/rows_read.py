"""A million stored messages: the memory they add, their replay, and a queue group that drains them."""

import socket
from collections.abc import Callable, Mapping
from functools import partial

from bench.peers import nats, resp
from bench.peers.comparison import BYTES, RATE, Comparison, Figure, Lap, Row, Side
from bench.peers.exchange import Marks, Sink, exchange
from bench.peers.nats import Mailboxes, Stream, jetstream, pub
from bench.peers.payloads import MARK, payload
from bench.peers.servers import Server, mq9fast
from bench.peers.workers import GROUP, NatsWorker, RedisWorker, drain
from tests.support.wire_client import Wire

Figures = Mapping[str, Figure]
NewSink = Callable[[socket.socket, int], Sink]
BODY = payload(100)
MEMORY = "memory added by 1,000,000 stored messages without a subscriber"
REPLAY = "replay of 1,000,000 messages to a new subscriber"
DRAIN = "1,000,000 messages drained by a queue group of 8, each answered"
MEMBERS = 8
# The fastest of the values from 100 to 10,000 that were tried.
READ_COUNT = 5000
GROUP_COUNT = 1000
PULL_BATCH = 2000


def marks(connection: socket.socket, count: int) -> Sink:
    """Receives `count` of the messages BODY, and of others that end in MARK."""
    return Marks(connection, MARK, count)


def mailbox(server: Server, *, count: int) -> Figures:
    return {MEMORY: fill(server, count), **read_mailbox(server, count, (REPLAY, DRAIN))}


def stream(server: Server, *, count: int) -> Figures:
    return {MEMORY: fill(server, count), **read_stream(server, count, (REPLAY, DRAIN))}


def read_mailbox(
    server: Server,
    count: int,
    rows: tuple[str, str],
    worker: type[NatsWorker] = NatsWorker,
    sink: NewSink = marks,
) -> Figures:
    """Replay and drain `count` stored messages."""
    wire = Wire(server.port)
    kept = Mailboxes(wire)
    reader = Wire(server.port)
    with Lap(server) as replay:
        reader.subscribe("bench")
        exchange([], [sink(reader.socket, count)])
    reader.close()
    members = [Wire(server.port) for _ in range(MEMBERS)]
    with Lap(server) as drained:
        for member in members:
            member.subscribe("bench", queue="workers")
        drain([worker(member) for member in members], count, lambda: kept.stored(["bench"]) == 0)
    return {rows[0]: replay.rate(count), rows[1]: drained.rate(count)}


def read_stream(
    server: Server,
    count: int,
    rows: tuple[str, str],
    worker: type[NatsWorker] = NatsWorker,
    batch: int = PULL_BATCH,
    sink: NewSink = marks,
) -> Figures:
    """Replay `count` stored messages with a push consumer, and drain them with pulls of `batch`."""
    wire = Wire(server.port)
    kept = Stream(wire)
    reader = Wire(server.port)
    reader.sub("deliver")
    reader.ping()
    with Lap(server) as replay:
        kept.consumer({"deliver_subject": "deliver", "ack_policy": "none", "mem_storage": True})
        exchange([], [sink(reader.socket, count)])
    reader.close()
    kept.consumer({"durable_name": "W", "ack_policy": "explicit", "max_ack_pending": -1, "max_waiting": 512})
    members = [Wire(server.port) for _ in range(MEMBERS)]
    workers = []
    for n, member in enumerate(members):
        member.sub(f"pulled.{n}")
        member.ping()
        ask = pub(f"$JS.API.CONSUMER.MSG.NEXT.{kept.name}.W", b'{"batch":%d}' % batch, b"pulled.%d" % n)
        workers.append(worker(member, ask, batch))
    with Lap(server) as drained:
        for each in workers:
            each.unsent = each.answer([])
            each.write()
        drain(workers, count, lambda: kept.unacknowledged("W") == 0)
    return {rows[0]: replay.rate(count), rows[1]: drained.rate(count)}


def redis_stream(server: Server, *, count: int) -> Figures:
    before = server.settled_rss_bytes()
    resp.store(server, count, BODY)
    memory = Figure(server.settled_rss_bytes() - before)
    with Lap(server) as replay:
        read_all(resp.Resp(server.port), count)
    control = resp.Resp(server.port)
    control.call("XGROUP", "CREATE", resp.STREAM, GROUP, "0")
    workers = [RedisWorker(resp.Resp(server.port), n, GROUP_COUNT) for n in range(MEMBERS)]
    with Lap(server) as drained:
        for worker in workers:
            worker.unsent = worker.request
            worker.write()
        drain(workers, count, lambda: control.integer("XPENDING", resp.STREAM, GROUP) == 0)
    return {MEMORY: memory, REPLAY: replay.rate(count), DRAIN: drained.rate(count)}


def fill(server: Server, count: int) -> Figure:
    """Store `count` messages. Return the memory that they add to the server."""
    before = server.settled_rss_bytes()
    nats.store(server, ["bench"], [BODY], count)
    return Figure(server.settled_rss_bytes() - before)


def read_all(connection: resp.Resp, count: int) -> None:
    """XREAD from the last id, READ_COUNT entries at a time."""
    marks, last = 0, b"0"
    while marks < count:
        connection.socket.sendall(resp.command("XREAD", "COUNT", READ_COUNT, "STREAMS", resp.STREAM, last))
        batch, tail = 0, b""
        while batch < min(READ_COUNT, count - marks):
            data = connection.socket.recv(1 << 20)
            batch += data.count(MARK)
            tail = tail[-200:] + data
        last = resp.ENTRY_ID.findall(tail[-400:])[-1]
        marks += batch


def comparisons(scale: float) -> list[Comparison]:
    count = max(1, round(100 * scale)) * 10_000
    return [
        Comparison(
            [
                Row(MEMORY, BYTES, {"JetStream": 1.0, "Redis, everysec": None}, maximum=150e6),
                Row(REPLAY, RATE, {"JetStream": 2.0, "Redis, everysec": 2.0}),
                Row(DRAIN, RATE, {"JetStream": 2.0, "Redis, everysec": 2.0}),
            ],
            [
                Side(mq9fast("interval"), partial(mailbox, count=count)),
                Side(
                    jetstream(),
                    partial(stream, count=count),
                    f"push consumer without acks or flow control; pulls of {PULL_BATCH:,}, explicit acks",
                ),
                Side(
                    resp.redis("everysec"),
                    partial(redis_stream, count=count),
                    f"XREAD COUNT {READ_COUNT:,}; XREADGROUP COUNT {GROUP_COUNT:,}, an XACK for each",
                ),
            ],
        )
    ]
