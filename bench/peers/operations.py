"""Operations that only growth asks about; the others are those of the contests."""

import time
from collections.abc import Mapping

from bench.peers.contest import Figure, Lap
from bench.peers.exchange import Marks, Source, exchange
from bench.peers.nats import END, Mailboxes, acknowledged, payload, pub, store
from bench.peers.rows_core import publish
from bench.peers.servers import Server
from tests.support.wire_client import MAILBOX, Wire

Figures = Mapping[str, Figure]
BODY = payload(100)


def send_to_full(server: Server, *, row: str, stored: int, count: int) -> Figures:
    """To a mailbox that holds so many already."""
    store(server, ["bench"], BODY, stored)
    with Wire(server.port) as wire:
        parts = acknowledged(wire, Mailboxes(wire), ["bench"], BODY, count)
        with Lap(server) as lap:
            exchange(*parts)
    return {row: lap.rate(count)}


def list_page(server: Server, *, row: str, stored: int, count: int) -> Figures:
    """The first ten messages of so many."""
    store(server, ["bench"], BODY, stored)
    with Wire(server.port) as wire, Lap(server) as lap:
        for _ in range(count):
            wire.list("bench", limit=10)
    return {row: lap.rate(count)}


def start_with_messages(server: Server, *, row: str, stored: int) -> Figures:
    """All in one mailbox."""
    store(server, ["bench"], BODY, stored)
    server.stop()
    began = time.perf_counter()
    server.start()
    return {row: Figure(time.perf_counter() - began)}


def create(server: Server, *, row: str, existing: int, count: int) -> Figures:
    """So many mailboxes beside those that exist."""
    with Wire(server.port) as wire:
        Mailboxes(wire).make([f"old.{n:07}" for n in range(existing)])
        requests = [pub(MAILBOX + "CREATE", b'{"name":"new.%07d"}' % n, b"made") for n in range(count)]
        with Lap(server) as lap:
            exchange([Source(wire.socket, requests)], [Marks(wire.socket, END, count)])
    return {row: lap.rate(count)}


def publish_amid_idle(server: Server, *, row: str, idle: int, count: int) -> Figures:
    """1 → 1 while so many connections do nothing."""
    wires = [Wire(server.port) for _ in range(idle)]
    figures = publish(server, row=row, count=count, size=16)
    for wire in wires:
        wire.close()
    return figures
