"""The core of a broker without sockets, loop or disk: sessions that are fed bytes and asked for output."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import settings

from mq9fast._core.commit.commit_group import CommitGroup
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.engine import Engine
from mq9fast._core.mailbox.mailbox import Mailbox, MailboxIndex
from mq9fast._core.mailbox_writer import MailboxWriter
from mq9fast._core.pubsub.client import PendingWork
from mq9fast._core.pubsub.router import Router
from mq9fast._core.session import Session

KIB = 1024
MANY = settings(max_examples=500)


class MemoryBatch:
    """Changes that wait for MemoryStore.write."""

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.ranges: list[tuple[bytes, bytes]] = []
        self.put = self.changes.__setitem__

    def delete(self, key: bytes) -> None:
        self.changes[key] = None

    def delete_range(self, first: bytes, end: bytes) -> None:
        self.ranges.append((first, end))


class MemoryStore:
    """A store without a disk. `failing` is raised by every read and write while it is set."""

    def __init__(self) -> None:
        self.pairs: dict[bytes, bytes] = {}
        self.failing: Exception | None = None

    def write(self, batch: MemoryBatch) -> None:
        self._check()
        for key, value in batch.changes.items():
            if value is None:
                self.pairs.pop(key, None)
            else:
                self.pairs[key] = value
        for first, end in batch.ranges:
            self.pairs = {key: value for key, value in self.pairs.items() if not first <= key < end}

    def get(self, key: bytes) -> bytes | None:
        self._check()
        return self.pairs.get(key)

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._check()
        keys = sorted(self.pairs)
        found = keys[bisect_left(keys, first) : bisect_left(keys, end)]
        return iter([(key, self.pairs[key]) for key in found])

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing


class FakeConnection:
    """What a session has in front of it; keeps what it is told."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.connects: list[bytes] = []
        self.reading = True
        self.closing = False
        self.mailbox_reader = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closing = True

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def connect(self, options: bytes) -> None:
        self.connects.append(options)

    def reads_mailboxes(self) -> None:
        self.mailbox_reader = True


class Parts:
    """One broker's core. Turns end when a test says so."""

    def __init__(
        self,
        *,
        read_bytes: int = 64 * KIB,
        control_line_bytes: int = 4 * KIB,
        payload_bytes: int = KIB * KIB,
        max_subscriptions: int = 0,
        max_pending_bytes: int = 64 * KIB * KIB,
    ) -> None:
        self.woken = 0
        self.max_pending_bytes = max_pending_bytes
        self.commands: list[tuple[bytes, bytes, bytes]] = []
        self.store = MemoryStore()
        self.pending_work = PendingWork()
        self.pending_work.wake = self._wake
        # No test is about how long it takes.
        self.pending_work.turn_ns = 1 << 60
        self.mailbox_index = MailboxIndex(1, 0)
        self.router = Router(self.pending_work, 1, 8 * KIB * KIB)
        self.delivery = Delivery(self.mailbox_index, self.router, self.pending_work)
        self.mailbox_writer = MailboxWriter(
            self.mailbox_index,
            self.delivery,
            self.pending_work,
            CommitGroup(MemoryBatch()),
            {code: code.encode() for code in CODES},
            max_messages=0,
            max_mailbox_bytes=0,
            max_store_bytes=0,
            stall_bytes=8 * KIB * KIB,
        )
        self.mailbox_writer.store = self.store  # type: ignore[assignment]
        self.mailbox_writer.store_error = OSError
        self.mailbox_writer.write_out = self.write_out
        self.mailbox_writer.command = lambda *command: self.commands.append(command)
        self.engine = Engine(
            self.pending_work,
            self.router,
            self.delivery,
            self.mailbox_writer,
            read_bytes=read_bytes,
            control_line_bytes=control_line_bytes,
            payload_bytes=payload_bytes,
            max_subscriptions=max_subscriptions,
        )
        self.engine.commit = self._commit
        self.engine.stalled = lambda: None
        self.clients = 0
        self._spare: CommitGroup | None = None

    def _wake(self) -> None:
        self.woken += 1

    def session(self, *, headers: bool = True) -> "Peer":
        """A client that is past CONNECT, not verbose."""
        self.clients += 1
        return Peer(self, self.clients, headers)

    def open(self, address: bytes) -> Mailbox:
        """Begin a mailbox's life, as CREATE does."""
        mailbox = self.mailbox_index.open(address, False)
        self.mailbox_index.renew(mailbox)
        self.mailbox_writer.commit_group.touch_mailbox(mailbox)
        self.delivery.restart(mailbox)
        return mailbox

    def write_out(self) -> None:
        """Have the store take what the turn gathered so far."""
        batch: Any = self.mailbox_writer.commit_group.take_batch(lambda address: b"b" + address, MemoryBatch)
        if batch is not None:
            self.store.write(batch)

    def _commit(self) -> None:
        """What the pipeline does under --sync interval."""
        self.write_out()
        if not self.mailbox_writer.commit_group.empty:
            batch: Any = MemoryBatch()
            successor, self._spare = self._spare, None
            if successor is None:
                successor = CommitGroup(batch)
            successor.renew(batch)
            turn = self.mailbox_writer.next_group(successor)
            self.delivery.release(turn)
            turn.clear()
            self._spare = turn
        if self.delivery.has_catch_up:
            self.delivery.catch_up(self.store)

    def end_turn(self) -> None:
        """End the turn, whether anything asked for that or not."""
        self.engine.end_turn()


class Peer:
    """A session and the connection in front of it."""

    def __init__(self, parts: Parts, cid: int, headers: bool) -> None:
        self.parts = parts
        self.connection = FakeConnection()
        self.session = Session(
            parts.pending_work, cid, parts.max_pending_bytes, parts.engine, self.connection
        )
        self.session.authorized = True
        self.session.verbose = self.session.pedantic = False
        self.session.headers = headers
        self.largest_room = 0

    def feed(self, data: bytes, most: int | None = None) -> None:
        """Have the session read `data`, at most `most` bytes a read."""
        at = 0
        while at < len(data):
            room = self.session.get_buffer(-1)
            self.largest_room = max(self.largest_room, len(room))
            count = min(len(room), len(data) - at, most or len(data))
            room[:count] = data[at : at + count]
            self.session.buffer_updated(count)
            at += count

    def feed_in(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.feed(piece)

    def output(self) -> bytes:
        """What it would write now, and wrote at ends of turns since the last call."""
        written = b"".join(self.connection.written)
        self.connection.written.clear()
        return written + self.session.take_output()

    def after_turn(self) -> bytes:
        """What it wrote once this turn ended."""
        self.parts.end_turn()
        return self.output()


CODES = (
    "bad_request",
    "invalid_address",
    "mailbox_not_found",
    "limit_exceeded",
    "store_unavailable",
    "unknown_command",
)


def pub(subject: bytes, payload: bytes = b"", reply: bytes = b"") -> bytes:
    """A PUB, as clients write it."""
    return b"PUB %b %b%d\r\n%b\r\n" % (subject, reply and reply + b" ", len(payload), payload)


def cut(data: bytes, *places: int) -> list[bytes]:
    """`data` in pieces, cut at places in order."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]
