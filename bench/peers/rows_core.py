"""Plain subjects: mq9fast and nats-server, with the same bytes."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from bench.peers.comparison import MICROSECONDS, RATE, Comparison, Figure, Lap, Row, Side, percentiles
from bench.peers.exchange import Bytes, Marks, Source, exchange, wait_in_kernel
from bench.peers.nats import NATS, delivered_bytes, pub
from bench.peers.payloads import payload
from bench.peers.servers import Server, mq9fast
from tests.support.wire_client import Wire

Figures = Mapping[str, Figure]
# This byte is not in a PING, which nats-server may send meanwhile.
PONG_MARK = b"O"


def publish(server: Server, *, row: str, count: int, size: int, receivers: int = 1) -> Figures:
    """One publisher on one subject. The rate counts deliveries."""
    each = delivered_bytes("bench", "1", size)
    sender, readers = Wire(server.port), [Wire(server.port) for _ in range(receivers)]
    for reader in readers:
        reader.sub("bench")
        reader.ping()
    source = Source(sender.socket, [pub("bench", payload(size))], count)
    with Lap(server) as lap:
        exchange([source], [Bytes(reader.socket, count * each) for reader in readers])
    return {row: lap.rate(count * receivers)}


def publish_to_nobody(server: Server, *, row: str, count: int, size: int) -> Figures:
    """Publish without subscribers. The work is done when the PING after the last message is answered."""
    sender = Wire(server.port)
    sender.ping()
    source = Source(sender.socket, [pub("bench", payload(size))], count)
    wait_in_kernel(sender.socket)
    with Lap(server) as lap:
        source.send_all()
        sender.send("PING\r\n")
        exchange([], [Marks(sender.socket, PONG_MARK, 1)])
    return {row: lap.rate(count)}


def publish_among(server: Server, *, row: str, count: int, subscriptions: int, subjects: int) -> Figures:
    """One reader has `subscriptions` literal and as many wildcard ones; each message matches one of them.

    The publisher takes `subjects` of them in turn, half literal and half wildcard, or a single literal one.
    """
    sender, reader = Wire(server.port), Wire(server.port)
    lines = [f"SUB literal.{n:06} L{n:06}\r\nSUB wild{n:06}.* W{n:06}\r\n" for n in range(subscriptions)]
    reader.send("".join(lines))
    reader.ping(60)
    names = [f"literal.{n:06}" if n % 2 == 0 else f"wild{n:06}.xxx" for n in range(subjects)]
    frames = [pub(name, payload(16)) for name in names]
    source = Source(sender.socket, frames, count // subjects)
    with Lap(server) as lap:
        exchange([source], [Bytes(reader.socket, count * delivered_bytes(names[0], "L000000", 16))])
    return {row: lap.rate(count)}


def publish_in_pairs(server: Server, *, row: str, count: int, pairs: int) -> Figures:
    """`pairs` publishers, each with its own subject and subscriber."""
    sources, sinks = [], []
    for n in range(pairs):
        subject = f"bench.{n:06}"
        sender, reader = Wire(server.port), Wire(server.port)
        reader.sub(subject)
        reader.ping()
        sender.ping()
        sources.append(Source(sender.socket, [pub(subject, payload(16))], count // pairs))
        sinks.append(Bytes(reader.socket, count // pairs * delivered_bytes(subject, "1", 16)))
    with Lap(server) as lap:
        exchange(sources, sinks)
    return {row: lap.rate(count)}


def request_reply(server: Server, *, row: str, count: int) -> Figures:
    """One request at a time. One thread is requester and responder, so neither has to wake the other."""
    asker, answerer = Wire(server.port), Wire(server.port)
    asker.sub("inbox")
    asker.ping()
    answerer.sub("service")
    answerer.ping()
    question, answer = pub("service", payload(16), b"inbox"), pub("inbox", payload(16))
    for wire in (asker, answerer):
        wait_in_kernel(wire.socket)
    times = []
    with Lap(server) as lap:
        for _ in range(count):
            start = time.perf_counter()
            asker.socket.sendall(question)
            answerer.socket.recv(4096)
            answerer.socket.sendall(answer)
            asker.socket.recv(4096)
            times.append(time.perf_counter() - start)
    return percentiles(lap, row, times)


def comparisons(scale: float) -> list[Comparison]:
    def count(full: int) -> int:
        return max(1, round(full * scale / 10_000)) * 10_000

    def against_nats(row: str, ratio: float, work, **sizes: int) -> Comparison:  # type: ignore[no-untyped-def]
        doing = partial(work, row=row, **sizes)
        return Comparison([Row(row, RATE, {NATS.name: ratio})], sides(doing))

    waits = "request-reply, one at a time"
    return [
        against_nats("1 → 1, 16 B", 3.0, publish, count=count(8_000_000), size=16),
        against_nats("published to nobody, 16 B", 3.0, publish_to_nobody, count=count(16_000_000), size=16),
        against_nats("1 → 8, 16 B, deliveries", 1.5, publish, count=count(2_000_000), size=16, receivers=8),
        against_nats("1 → 1, 1 KiB", 1.5, publish, count=count(1_500_000), size=1024),
        against_nats("1 → 1, 16 KiB", 1.5, publish, count=count(150_000), size=16 << 10),
        against_nats("1 → 1, 128 KiB", 1.2, publish, count=count(20_000), size=128 << 10),
        against_nats(
            "1 → 1 amid 1,000 literal and 1,000 wildcard subscriptions",
            2.0,
            publish_among,
            count=count(6_000_000),
            subscriptions=1000,
            subjects=1,
        ),
        against_nats(
            "1 → 1 amid the same, to 1,000 subjects in turn",
            2.0,
            publish_among,
            count=count(6_000_000),
            subscriptions=1000,
            subjects=1000,
        ),
        against_nats("50 → 50, own subjects, 16 B", 1.5, publish_in_pairs, count=count(5_000_000), pairs=50),
        Comparison(
            [Row(f"{waits}, p{percent}", MICROSECONDS, {NATS.name: 1.0}) for percent in (50, 99)],
            sides(partial(request_reply, row=waits, count=count(40_000))),
        ),
    ]


def sides(work) -> Sequence[Side]:  # type: ignore[no-untyped-def]
    return [Side(mq9fast(), work), Side(NATS, work)]
