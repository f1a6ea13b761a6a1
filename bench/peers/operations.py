"""Operations that only bench-growth measures. It takes the others from the comparisons."""

import time
from collections.abc import Mapping

from bench.peers.comparison import Figure, Lap
from bench.peers.exchange import Marks, Source, exchange
from bench.peers.nats import END, Mailboxes, acknowledged, pub, store
from bench.peers.payloads import payloads
from bench.peers.rows_core import publish
from bench.peers.servers import Server
from tests.support.wire_client import MAILBOX, Wire

Figures = Mapping[str, Figure]
BODIES = payloads(100)


def send_to_full(server: Server, *, row: str, stored: int, count: int) -> Figures:
    """Send to a mailbox that has `stored` messages already."""
    store(server, ["bench"], BODIES, stored)
    with Wire(server.port) as wire:
        parts = acknowledged(wire, Mailboxes(wire), ["bench"], BODIES, count)
        with Lap(server) as lap:
            exchange(*parts)
    return {row: lap.rate(count)}


def list_page(server: Server, *, row: str, stored: int, count: int) -> Figures:
    """LIST the first ten of `stored` messages."""
    store(server, ["bench"], BODIES, stored)
    with Wire(server.port) as wire, Lap(server) as lap:
        for _ in range(count):
            wire.list("bench", limit=10)
    return {row: lap.rate(count)}


def start_with_messages(server: Server, *, row: str, stored: int) -> Figures:
    """Start with `stored` messages in one mailbox."""
    store(server, ["bench"], BODIES, stored)
    server.stop()
    began = time.perf_counter()
    server.start()
    return {row: Figure(time.perf_counter() - began)}


def create(server: Server, *, row: str, existing: int, count: int) -> Figures:
    """Create `count` mailboxes while `existing` ones exist."""
    with Wire(server.port) as wire:
        Mailboxes(wire).make([f"old.{n:07}" for n in range(existing)])
        requests = [pub(MAILBOX + "CREATE", b'{"name":"new.%07d"}' % n, b"made") for n in range(count)]
        with Lap(server) as lap:
            exchange([Source(wire.socket, requests)], [Marks(wire.socket, END, count)])
    return {row: lap.rate(count)}


def publish_amid_idle(server: Server, *, row: str, idle: int, count: int) -> Figures:
    """Publish 1 → 1 while `idle` connections do nothing."""
    wires = [Wire(server.port) for _ in range(idle)]
    figures = publish(server, row=row, count=count, size=16)
    for wire in wires:
        wire.close()
    return figures
