"""The clients of `python -m bench.peers.long`: processes that send, or answer, until they are killed.

They count for the benchmark, in memory that it shares with them.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any

from bench.peers.batches import Batch, batches
from bench.peers.exchange import Window, wait_in_kernel
from bench.peers.nats import END, JETSTREAM_WINDOW, Mailboxes, keeper, pub
from bench.peers.payloads import payloads
from bench.peers.rows_large import bounded
from bench.peers.servers import Server
from bench.peers.workers import SkippingWorker, drain
from tests.support.wire_client import Wire

MEMBERS = 2
# Without readers: what a mailbox takes before the next one is filled, and how many full ones are kept.
MAILBOX_BYTES = 512 << 20
FULL_MAILBOXES = 4
# A name is used again when its mailbox has long ended.
NAMES = 16
# Seconds that an ended mailbox has still to live, the least that CREATE accepts.
ENDED_TTL = 1
# The sender waits while the readers are this far behind.
MAX_BACKLOG_BYTES = 1 << 30


class SteadyWindow(Window):
    """Sends for ever, but waits while `sent` is more than `most` ahead of `done`, unless `most` is 0.

    `sent` counts the replies; other processes read it. `next_batch` returns what is sent next.
    """

    def __init__(
        self, wire: Wire, next_batch: Callable[[], Batch], window: int, sent: Any, done: Any, most: int
    ) -> None:
        super().__init__(wire.socket, [b""], 1, END, window)
        self.batches = iter(next_batch, None)
        self.batch = next(self.batches)
        self.left = self.unsent = 1 << 60
        self.first = self.left
        self.sent, self.done, self.most = sent, done, most

    def take(self) -> bool:
        super().take()
        self.sent.value = self.first - self.left
        while self.most and self.sent.value - self.done.value > self.most:
            time.sleep(0.001)
        return True


class Turns:
    """Gives batches for one mailbox until it is full, then for the next one, and ends the oldest one.

    `control`: creates the mailboxes and ends them. `full`: messages of a full mailbox.
    """

    def __init__(self, control: Wire, size: int, window: int) -> None:
        self.control, self.full, self.given = control, MAILBOX_BYTES // size, 0
        names = [f"bench.{n}" for n in range(NAMES)]
        self.names = itertools.cycle(names)
        self.batches = {name: endless(Mailboxes.subject + name, size, window) for name in names}
        self.filled: list[str] = []
        self.begin()

    def begin(self) -> None:
        self.name = next(self.names)
        created = self.control.create(name=self.name, ttl=0)
        assert created["is_new"], f"{self.name} still exists"
        self.given = 0

    def next_batch(self) -> Batch:
        if self.given >= self.full:
            self.filled.append(self.name)
            if len(self.filled) > FULL_MAILBOXES:
                oldest = self.filled.pop(0)
                stored = self.control.create(name=oldest, ttl=ENDED_TTL)
                assert not stored["is_new"], f"{oldest} has ended before its time"
            self.begin()
        batch = next(self.batches[self.name])
        self.given += batch.count
        return batch


class CountingWorker(SkippingWorker):
    """A member that counts its messages for other processes."""

    counter: Any

    def read(self) -> None:
        before = self.done
        super().read()
        self.counter.value += self.done - before


def endless(subject: str, size: int, window: int) -> "itertools.cycle[Batch]":
    return itertools.cycle(batches([pub(subject, body, b"acks") for body in payloads(size)], 1, window // 4))


def send(server: Server, size: int, sent: Any, done: Any, most: int) -> None:
    """Send to the name `bench`. To mq9fast, if `most` is 0: to one mailbox after the other."""
    with Wire(server.port) as wire, Wire(server.port) as control:
        kept = keeper(server, wire)
        wire.sub("acks", "acks")
        wire.ping()
        count = bounded(JETSTREAM_WINDOW, size)
        if most or not isinstance(kept, Mailboxes):
            next_batch: Callable[[], Batch] = endless(kept.subject + "bench", size, count).__next__
        else:
            next_batch = Turns(control, size, count).next_batch
        window = SteadyWindow(wire, next_batch, count, sent, done, most)
        wait_in_kernel(wire.socket)
        window.feed()
        while window.take():
            pass


def answer(server: Server, done: Any) -> None:
    members = [Wire(server.port) for _ in range(MEMBERS)]
    for member in members:
        member.subscribe("bench", queue="workers")
    workers = [CountingWorker(member) for member in members]
    for worker in workers:
        worker.counter = done
    drain(workers, 1 << 60, lambda: False)
