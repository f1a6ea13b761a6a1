"""Sends to mailboxes, JetStream, Redis Streams and RabbitMQ. Every message is acknowledged."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from bench.peers import amqp, resp
from bench.peers.comparison import MICROSECONDS, RATE, Comparison, Figure, Lap, Row, Side, percentiles
from bench.peers.exchange import Source, exchange, wait_in_kernel
from bench.peers.nats import ACKS, JETSTREAM_WINDOW, acknowledged, jetstream, keeper, pub
from bench.peers.payloads import payload, payloads
from bench.peers.servers import Server, mq9fast
from tests.support.wire_client import Wire

Figures = Mapping[str, Figure]
# Converts the count of a full run to the count of this run.
Counter = Callable[[int], int]
BODY_BYTES = 100
BODY = payload(BODY_BYTES)
IN_FLIGHT = f"{JETSTREAM_WINDOW:,} in flight"
EVERY_SECOND = "JetStream, sync 1s"
ALWAYS = "JetStream, sync always"


def send(
    server: Server,
    *,
    row: str,
    count: int,
    connections: int = 1,
    names: int = 1,
    size: int = BODY_BYTES,
    window: int = 0,
) -> Figures:
    """Send pipelined over `connections`, each with its share of the names."""
    wires = [Wire(server.port) for _ in range(connections)]
    all_names = [f"bench.{n:06}" for n in range(names)]
    kept = keeper(server, wires[0])
    kept.make(all_names)
    sources, sinks = [], []
    for n, wire in enumerate(wires):
        mine = all_names[n * names // connections : (n + 1) * names // connections]
        parts = acknowledged(wire, kept, mine, payloads(size), count // names, connections, window)
        sources += parts[0]
        sinks += parts[1]
    with Lap(server) as lap:
        exchange(sources, sinks)
    check = Wire(server.port)
    stored = keeper(server, check).stored(all_names)
    assert stored == count, f"{stored} of {count} messages were stored"
    return {row: lap.rate(count)}


def send_one_at_a_time(server: Server, *, row: str, count: int) -> Figures:
    with Wire(server.port) as wire:
        kept = keeper(server, wire)
        kept.make(["bench"])
        wire.sub(ACKS.decode(), ACKS.decode())
        wire.ping()
        wait_in_kernel(wire.socket)
        return _in_turn(server, wire.socket, pub(kept.subject + "bench", BODY, ACKS), row, count)


def redis_send(server: Server, *, row: str, count: int) -> Figures:
    connection = resp.Resp(server.port)
    with Lap(server) as lap:
        resp.store(server, count, BODY)
    assert connection.integer("XLEN", resp.STREAM) == count
    return {row: lap.rate(count)}


def redis_send_one_at_a_time(server: Server, *, row: str, count: int) -> Figures:
    frame = resp.command("XADD", resp.STREAM, "*", "m", BODY)
    return _in_turn(server, resp.Resp(server.port).socket, frame, row, count)


def rabbit_send(server: Server, *, row: str, count: int) -> Figures:
    connection = amqp.Amqp(server.port, b"bench")
    frame = amqp.publish(b"bench", BODY)
    with Lap(server) as lap:
        exchange([Source(connection.socket, [frame], count)], [amqp.Confirms(connection.socket, count)])
    return {row: lap.rate(count)}


def _in_turn(server: Server, connection, frame: bytes, row: str, count: int) -> Figures:  # type: ignore[no-untyped-def]
    times = []
    with Lap(server) as lap:
        for _ in range(count):
            start = time.perf_counter()
            connection.sendall(frame)
            connection.recv(4096)
            times.append(time.perf_counter() - start)
    return percentiles(lap, row, times)


def comparisons(scale: float) -> list[Comparison]:
    def count(full: int) -> int:
        return max(1, round(full * scale / 1000)) * 1000

    return [
        send_pipelined_interval(count),
        send_pipelined_always(count),
        send_over_many_connections(count),
        send_in_turn(count),
    ]


def send_pipelined_interval(count: Counter) -> Comparison:
    row = "sent, acknowledged, pipelined, interval"
    many = partial(send, row=row, count=count(500_000))
    redis_many = partial(redis_send, row=row, count=count(500_000))
    return Comparison(
        [Row(row, RATE, {"JetStream": 4.0, EVERY_SECOND: None, "Redis, everysec": None})],
        [
            Side(mq9fast("interval"), partial(send, row=row, count=count(1_500_000))),
            Side(jetstream(), many, IN_FLIGHT),
            Side(jetstream("1s"), many, IN_FLIGHT, EVERY_SECOND),
            Side(resp.redis("everysec"), redis_many),
        ],
    )


def send_pipelined_always(count: Counter) -> Comparison:
    row = "sent, acknowledged, pipelined, always"
    return Comparison(
        [Row(row, RATE, {ALWAYS: 20.0, "JetStream": 2.5, "Redis, always": None, "RabbitMQ": None})],
        [
            Side(mq9fast("always"), partial(send, row=row, count=count(1_500_000))),
            Side(jetstream("always"), partial(send, row=row, count=count(10_000)), IN_FLIGHT, ALWAYS),
            Side(jetstream(), partial(send, row=row, count=count(500_000)), IN_FLIGHT),
            Side(resp.redis("always"), partial(redis_send, row=row, count=count(300_000))),
            Side(amqp.RABBIT, partial(rabbit_send, row=row, count=count(80_000))),
        ],
    )


def send_over_many_connections(count: Counter) -> Comparison:
    row = "sent over 50 connections to 1,000 mailboxes, always"
    work = partial(send, row=row, count=count(1_000_000), connections=50, names=1000)
    stream = "one stream, 1,000 subjects"
    return Comparison(
        [Row(row, RATE, {"JetStream": 1.5})],
        [Side(mq9fast("always"), work), Side(jetstream(), work, f"{stream}, {IN_FLIGHT}")],
    )


def send_in_turn(count: Counter) -> Comparison:
    row = "sent one at a time, interval"
    work = partial(send_one_at_a_time, row=row, count=count(20_000))
    redis_work = partial(redis_send_one_at_a_time, row=row, count=count(20_000))
    ratios = {"JetStream": 1.0, "Redis, everysec": None}
    return Comparison(
        [Row(f"{row}, p{percent}", MICROSECONDS, ratios) for percent in (50, 99)],
        [
            Side(mq9fast("interval"), work),
            Side(jetstream(), work),
            Side(resp.redis("everysec"), redis_work),
        ],
    )
