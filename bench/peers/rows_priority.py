"""A critical message is sent while a slow subscriber still reads a gigabyte of normal messages."""

import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.peers.comparison import BYTES, MICROSECONDS, Comparison, Figure, Row, Side
from bench.peers.nats import pub, store
from bench.peers.payloads import payloads
from bench.peers.servers import Server, mq9fast
from tests.support.wire_client import MAILBOX, Wire

Figures = Mapping[str, Figure]
LATENCY = "critical message in a 1 GB backlog, subscriber at 50 MB/s: time from reply to arrival"
AHEAD = "critical message in the same backlog: bytes before it that the kernel did not have at its reply"
BODY_BYTES = 10_000
READER_BYTES = 64 << 10
READER_BYTES_PER_SECOND = 50e6
CRITICALS = 20
BETWEEN_BYTES = 4 << 20
CRITICAL_MARK = b"!"
# The buffer of asyncio, and the share of a consumer in one turn of the event loop.
HANDED_OUT_BYTES = (64 << 10) + (128 << 10)


class SlowReader:
    """Reads at READER_BYTES_PER_SECOND, in pieces of 64 KiB, with a receive buffer of that size."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(port, receive_bytes=READER_BYTES)
        self.wire.subscribe("bench")
        self.wire.socket.settimeout(60)
        self.next = time.perf_counter()

    def read(self) -> bytes:
        time.sleep(max(0.0, self.next - time.perf_counter()))
        data = self.wire.socket.recv(READER_BYTES)
        self.next = max(self.next, time.perf_counter()) + len(data) / READER_BYTES_PER_SECOND
        return data

    def skip(self, size: int) -> None:
        while size > 0:
            size -= len(self.read())

    def read_to_critical(self) -> int:
        """Read to the critical message. Return the number of bytes before it."""
        size = 0
        while CRITICAL_MARK not in (data := self.read()):
            size += len(data)
        return size + data.index(CRITICAL_MARK)


def critical(server: Server, *, count: int) -> Figures:
    store(server, ["bench"], payloads(BODY_BYTES), count)
    sender, reader = Wire(server.port), SlowReader(server.port)
    sender.sub("acks")
    sender.ping()
    frame = pub(MAILBOX + "MSG.bench.critical", b"x" * 99 + CRITICAL_MARK, b"acks")
    latencies, ahead = [], []
    for _ in range(CRITICALS):
        reader.skip(BETWEEN_BYTES)
        sender.socket.sendall(frame)
        sender.message()
        began = time.perf_counter()
        handed_down = in_kernel(reader.wire.socket)
        ahead.append(max(0, reader.read_to_critical() - handed_down))
        latencies.append(time.perf_counter() - began)
    return {LATENCY: Figure(max(latencies) * 1e6), AHEAD: Figure(max(ahead))}


def in_kernel(receiver: socket.socket) -> int:
    """Return the bytes that the peer gave to the kernel and the receiver has not read (Linux)."""
    mine, peer = f":{receiver.getsockname()[1]:04X}", f":{receiver.getpeername()[1]:04X}"
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ends = fields[1][8:], fields[2][8:]
        sending, received = (int(each, 16) for each in fields[4].split(":"))
        if ends == (mine, peer):
            total += received
        elif ends == (peer, mine):
            total += sending
    return total


def comparisons(scale: float) -> list[Comparison]:
    work = partial(critical, count=max(20_000, round(100_000 * scale)))
    rows = [Row(LATENCY, MICROSECONDS), Row(AHEAD, BYTES, maximum=HANDED_OUT_BYTES)]
    return [Comparison(rows, [Side(mq9fast("interval"), work, f"worst of {CRITICALS}")])]
