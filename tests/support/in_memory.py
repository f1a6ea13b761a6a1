"""The core of a broker without sockets, event loop or disk. Tests feed sessions and read their output."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from hypothesis import settings

from mq9fast._core.answerer import Answerer
from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.base.limits import Limits
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.dead_letters import DeadLetters
from mq9fast._core.deduplicator import Deduplicator
from mq9fast._core.delayed_messages import DelayedMessages
from mq9fast._core.delayer import Delayer
from mq9fast._core.deleter import Deleter
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.delivery.events import Events
from mq9fast._core.delivery.failures import Failures
from mq9fast._core.discarder import Discarder
from mq9fast._core.dropper import Dropper
from mq9fast._core.engine import Engine
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.mailbox_writer import MailboxWriter
from mq9fast._core.message_adder import MessageAdder
from mq9fast._core.names import Names
from mq9fast._core.pubsub.client import Client, PendingWork
from mq9fast._core.pubsub.router import Router
from mq9fast._core.receipts import Receipts
from mq9fast._core.replacer import Replacer
from mq9fast._core.session import Session
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.testing.pubsub import set_turn_ns
from mq9fast.errors import REASONS
from mq9fast.storage.unlogged import NoValues

KIB = 1024
MANY = settings(max_examples=500)


class MemoryBatch:
    """A batch of changes for MemoryStore.write."""

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.ranges: list[tuple[bytes, bytes]] = []
        self.put = self.changes.__setitem__

    def delete(self, key: bytes) -> None:
        self.changes[key] = None

    def delete_range(self, first: bytes, end: bytes) -> None:
        self.ranges.append((first, end))


class MemoryStore:
    """A store in memory. While `failing` is set, every read and write raises it."""

    def __init__(self) -> None:
        self.pairs: dict[bytes, bytes] = {}
        self.values = NoValues()
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

    get_stored = get

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._check()
        keys = sorted(self.pairs)
        found = keys[bisect_left(keys, first) : bisect_left(keys, end)]
        return iter([(key, self.pairs[key]) for key in found])

    scan_stored = scan

    def scan_back(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(list(self.scan(first, end))[::-1])

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing


class FakeConnection:
    """The connection of a session. Records the calls that the session makes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.connects: list[bytes] = []
        self.reading = True
        self.closing = False
        self.mailbox_reader = False
        self.unsent = 0

    def unsent_bytes(self) -> int:
        return self.unsent

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

    def mailbox_subscribed(self) -> None:
        self.mailbox_reader = True


class ManualLoop:
    """An event loop that records `calls` and `failures` instead of running them."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.failures: list[Exception] = []

    def call_soon(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context["exception"])


class ImmediatePipeline:
    """Commits as under --sync interval, without timers. While `failing` is set, every commit raises it."""

    def __init__(self, accumulator: Accumulator, delivery: Delivery, store: MemoryStore) -> None:
        self.accumulator = accumulator
        self.delivery = delivery
        self.store = store
        self.failing: Exception | None = None
        self.stalls = 0

    def write_batch(self) -> None:
        """Write the batch of the commit group to the store."""
        batch: Any = self.accumulator.group.take_batch(MemoryBatch)
        if batch is not None:
            self.store.write(batch)
            self.accumulator.group.mark_written()

    def finish_write(self) -> None:
        """Nothing is written in a thread."""

    def commit(self) -> None:
        if self.failing is not None:
            raise self.failing
        self.write_batch()
        if not self.accumulator.group.is_empty:
            group = self.accumulator.seal()
            try:
                self.delivery.release(group)
            finally:
                self.accumulator.release(group)
        if self.delivery.has_catch_up:
            self.delivery.catch_up(self.store)

    def clients_stalled(self) -> None:
        self.stalls += 1


class Core:
    """The core of one broker. A turn ends with `end_turn`, or with a read if `ready_descriptor` is set."""

    def __init__(
        self,
        *,
        read_bytes: int = 64 * KIB,
        control_line_bytes: int = 4 * KIB,
        payload_bytes: int = KIB * KIB,
        max_subscriptions: int = 0,
        max_pending_bytes: int = 64 * KIB * KIB,
        busy_poll_us: int = 0,
        ready_descriptor: int = -1,
    ) -> None:
        self.commands: list[tuple[bytes, bytes, Client, bytes]] = []
        self.store = MemoryStore()
        self.loop = ManualLoop()
        self.limits = Limits()
        self.limits.max_pending = max_pending_bytes
        self.limits.max_subscriptions = max_subscriptions
        self.limits.busy_poll = busy_poll_us
        self.pending_work = PendingWork(self.limits)
        # No test depends on the length of a turn.
        set_turn_ns(self.pending_work, 1 << 60)
        self.mailbox_index = MailboxIndex(1, 0)
        self.router = Router(self.pending_work, 1)
        self.accumulator = Accumulator(MemoryBatch())
        self.time = BrokerTime()
        self.events = Events(self.mailbox_index, self.pending_work, self.accumulator, self.time)
        self.failures = Failures(
            self.mailbox_index,
            self.accumulator,
            store=self.store,  # type: ignore[arg-type]
        )
        self.delivery = Delivery(
            self.mailbox_index,
            self.router,
            self.pending_work,
            self.failures,
            self.events,
            store_errors=(OSError, CorruptRecord),
            first_group=1,
            bury=lambda *message: self.dead_letters.bury(*message),
        )
        self.pipeline = ImmediatePipeline(self.accumulator, self.delivery, self.store)
        self.names = Names(self.accumulator, store=self.store)  # type: ignore[arg-type]
        self.deleter = Deleter(
            self.mailbox_index,
            self.pending_work,
            self.accumulator,
            self.failures,
            self.names,
            store=self.store,  # type: ignore[arg-type]
            write_batch=self.pipeline.write_batch,
        )
        self.deduplicator = Deduplicator(
            self.mailbox_index,
            self.pending_work,
            self.accumulator,
            bytes(range(16)),
            store=self.store,  # type: ignore[arg-type]
            write_batch=self.pipeline.write_batch,
        )
        delayed = DelayedMessages(
            self.mailbox_index,
            self.accumulator,
            store=self.store,  # type: ignore[arg-type]
        )
        dropper = Dropper(
            self.mailbox_index,
            self.accumulator,
            self.deleter,
            delayed,
            self.events,
            store=self.store,  # type: ignore[arg-type]
            send_receipts=lambda *message: self.receipts.replaced(*message),
        )
        self.discarder = Discarder(
            self.pending_work,
            self.accumulator,
            dropper,
            store=self.store,  # type: ignore[arg-type]
            finish_write=self.pipeline.finish_write,
        )
        self.replacer = Replacer(
            self.mailbox_index,
            self.pending_work,
            self.accumulator,
            dropper,
            bytes(range(16)),
            store=self.store,  # type: ignore[arg-type]
            finish_write=self.pipeline.finish_write,
        )
        self.adder = MessageAdder(
            self.mailbox_index, self.accumulator, self.events, self.limits, self.discarder, self.replacer
        )
        self.receipts = Receipts(
            self.mailbox_index,
            self.accumulator,
            self.adder,
            store=self.store,  # type: ignore[arg-type]
        )
        self.dead_letters = DeadLetters(
            self.mailbox_index,
            self.accumulator,
            self.adder,
            self.deleter,
            self.receipts,
            self.events,
            store=self.store,  # type: ignore[arg-type]
            create=self.create,
        )
        self.delayer = Delayer(self.mailbox_index, delayed, self.adder, self.names, self.time)
        self.mailbox_writer = MailboxWriter(
            self.mailbox_index,
            self.delivery,
            self.pending_work,
            self.accumulator,
            self.adder,
            self.delayer,
            self.deleter,
            self.deduplicator,
            Answerer(
                self.mailbox_index,
                self.accumulator,
                self.adder,
                self.deleter,
                store=self.store,  # type: ignore[arg-type]
            ),
            self.receipts,
            self.dead_letters,
            {code: code.encode() for code in (*CODES, *REASONS)},
            store_errors=(OSError, CorruptRecord),
            create=self.create,
        )
        self.engine = Engine(
            self.pending_work,
            self.router,
            self.delivery,
            self.mailbox_writer,
            self.accumulator,
            self.time,
            pipeline=self.pipeline,
            commands=lambda *command: self.commands.append(command),
            loop=self.loop,
            ready_descriptor=ready_descriptor,
            read_bytes=read_bytes,
            control_line_bytes=control_line_bytes,
            payload_bytes=payload_bytes,
        )
        self.engine.time.start(0, 0)
        self.engine.resume_expiry()
        self.clients = 0

    @property
    def scheduled_ends(self) -> int:
        """How often the end of a turn was scheduled."""
        return self.loop.calls.count(self.engine.end_turn)

    def session(self, *, headers: bool = True) -> "Peer":
        """A client that has sent CONNECT, not verbose."""
        self.clients += 1
        return Peer(self, self.clients, headers)

    def create(self, address: bytes) -> Mailbox:
        """Create a mailbox, as CREATE does."""
        mailbox = self.mailbox_index.create(address, False)
        self.mailbox_index.renew(mailbox)
        self.accumulator.group.touch_mailbox(mailbox)
        self.delivery.restart(mailbox)
        return mailbox

    def advance(self, milliseconds: int) -> None:
        """Advance the broker's time, and expire mailboxes that are due."""
        time = self.engine.time
        time.start(time.now_ms + milliseconds, 0)
        self.engine.resume_expiry()

    def end_turn(self) -> None:
        """End the turn, scheduled or not."""
        self.engine.end_turn()


class Peer:
    """A session and its connection."""

    def __init__(self, core: Core, cid: int, headers: bool, session_type: type[Session] = Session) -> None:
        self.core = core
        self.connection = FakeConnection()
        self.session = session_type(core.pending_work, cid, core.engine, self.connection)
        self.session.authorized = True
        self.session.verbose = self.session.pedantic = False
        self.session.headers = headers
        self.largest_buffer = 0

    def feed(self, data: bytes, most: int | None = None) -> None:
        """Give `data` to the session, at most `most` bytes a read."""
        at = 0
        while at < len(data):
            buffer = self.session.get_buffer(-1)
            self.largest_buffer = max(self.largest_buffer, len(buffer))
            count = min(len(buffer), len(data) - at, most or len(data))
            buffer[:count] = data[at : at + count]
            self.session.buffer_updated(count)
            at += count

    def feed_in(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.feed(piece)

    def output(self) -> bytes:
        """The output since the last call: written at ends of turns, and not yet written."""
        written = b"".join(self.connection.written)
        self.connection.written.clear()
        return written + self.session.take_output()

    def after_turn(self) -> bytes:
        """End the turn and return the output."""
        self.core.end_turn()
        return self.output()


CODES = (
    "bad_request",
    "invalid_address",
    "mailbox_not_found",
    "permission_denied",
    "limit_exceeded",
    "store_unavailable",
    "unknown_command",
)


def pub(subject: bytes, payload: bytes = b"", reply: bytes = b"") -> bytes:
    """A PUB frame."""
    return b"PUB %b %b%d\r\n%b\r\n" % (subject, reply and reply + b" ", len(payload), payload)


def hpub(subject: bytes, header: bytes, payload: bytes = b"", reply: bytes = b"") -> bytes:
    """An HPUB frame, or a PUB frame without a header."""
    if not header:
        return pub(subject, payload, reply)
    sizes = b"%d %d" % (len(header), len(header) + len(payload))
    return b"HPUB %b %b%b\r\n%b%b\r\n" % (subject, reply and reply + b" ", sizes, header, payload)


def cut(data: bytes, *places: int) -> list[bytes]:
    """Cut `data` in pieces at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]
