"""A model of a cluster: nodes with the real appender, writer and follower over a log that delays, loses and
repeats what it is told. `Model.run` plays a random story, and returns what the promises forbid."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from typing import cast

from mq9fast._core.storage.logged_batch import LoggedBatch, apply_changes
from mq9fast.cluster.appender import Appender, Found, Stored
from mq9fast.cluster.follower import Diverged, Follower
from mq9fast.cluster.log import LogError
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.record import Position
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.cluster.takeover import take_over
from tests.support.memory_log import MemoryRecords

LEASE_SECONDS = 2.0
TRUST_SECONDS = 1.8
NODES = 3
# Keys that an owner deletes now and then, all at once.
DROPPED = b"d", b"e"


class UnsureLog:
    """Implements `Records`, and most of `Log`. Each message to and from the log may be late, lost, or
    come twice."""

    appender_type = Appender

    def __init__(self, records: MemoryRecords, chance: random.Random) -> None:
        self.max_record = 64
        self.records = records
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self.appender = self.appender_type(self)
        self.append = self.appender.append
        self.fence = self.appender.fence

    def _later(self, call: Callable[..., None], *args: object) -> None:
        for _ in range(self._chance.choices((0, 1, 2), (1, 10, 1))[0]):
            late = self._chance.random() < 0.1
            self._loop.call_later(self._chance.uniform(0, 2.5 if late else 0.02), call, *args)

    def store(self, record: bytes, expected: int | None, answer: Stored) -> None:
        self._later(lambda: self._later(answer, self.records.try_store(record, expected)))

    def find(self, sequence: int, answer: Found) -> None:
        # A replica may not have the newest records yet.
        stale = self._chance.random() < 0.3
        self._later(lambda: self._later(answer, None if stale else self.records.record(sequence)))

    def end(self) -> int:
        return self.appender.end

    @property
    def unanswered_since(self) -> float | None:
        return self.appender.unanswered_since

    async def read(self, first: int) -> AsyncIterator[tuple[int, bytes]]:
        sequence = first
        while True:
            await asyncio.sleep(self._chance.uniform(0, 0.02))
            if (record := self.records.record(sequence)) is not None:
                yield sequence, record
                sequence += 1

    async def close(self) -> None:
        self.appender.close()


class ModelStore:
    """What a follower and an owner need of a store, in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.position = Position()
        self.writer: LogWriter | None = None

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def delete_range(self, first: bytes, end: bytes) -> None:
        for key in [key for key in self.rows if first <= key < end]:
            del self.rows[key]

    def apply(self, batches: Iterable[memoryview], position: Position) -> None:
        for changes in batches:
            apply_changes(changes, self)
        self.position = position

    def write_stalled(self) -> bool:
        return False


class Lease:
    """The place of the owner, as a registry with compare-and-set keeps it."""

    def __init__(self) -> None:
        self.epoch = 0
        self.renewed_at = -LEASE_SECONDS


class Node:
    """One node, again and again standby and owner."""

    def __init__(self, model: "Model", name: str) -> None:
        self.model = model
        self.name = name
        self.store = ModelStore()

    async def live(self) -> None:
        """Follow, take over when the lease has ended, write until deposed, and begin again."""
        chance, lease = self.model.chance, self.model.lease
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(chance.uniform(0, 1))
            if loop.time() - lease.renewed_at < LEASE_SECONDS:
                continue
            lease.epoch, lease.renewed_at = lease.epoch + 1, loop.time()
            await self._own(lease.epoch)

    async def _own(self, epoch: int) -> None:
        log = self.model.log_type(self.model.records, self.model.chance)
        try:
            await self._catch_up(log, epoch)
            renewing = asyncio.create_task(self._renew(epoch))
            try:
                while True:
                    await self._turn(log)
            finally:
                renewing.cancel()
        except Diverged:
            self.store = ModelStore()
        except LogError:
            pass
        await log.close()
        self.store.writer = None

    async def _catch_up(self, log: UnsureLog, epoch: int) -> None:
        store = cast(ReplicatedStore, self.store)
        follower = self.model.follower_type(log, store)
        following = asyncio.create_task(follower.run())
        taking = asyncio.create_task(self.model.take_over(log, store, follower, epoch, self.name))
        await asyncio.wait((following, taking), return_when=asyncio.FIRST_COMPLETED)
        for task in (following, taking):
            task.cancel()
        ended = await asyncio.gather(following, taking, return_exceptions=True)
        for error in ended:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise error

    async def _renew(self, epoch: int) -> None:
        """Renew the lease, and stop for a while now and then, as a suspended machine does."""
        lease, loop = self.model.lease, asyncio.get_running_loop()
        self._trusted_until = lease.renewed_at + TRUST_SECONDS
        while lease.epoch == epoch:
            lease.renewed_at = loop.time()
            self._trusted_until = loop.time() + TRUST_SECONDS
            await asyncio.sleep(self.model.chance.choice((0.5, 0.5, 0.5, 5.0)))

    async def _turn(self, log: UnsureLog) -> None:
        model, loop = self.model, asyncio.get_running_loop()
        await asyncio.sleep(model.chance.uniform(0, 0.1))
        if model.chance.random() < 0.4:
            if model.may_read(loop.time() < self._trusted_until):
                model.note_read(self.store.rows)
            return
        writer = self.store.writer
        assert writer is not None
        keys = []
        for _ in range(model.chance.randrange(1, 4)):
            batch = LoggedBatch(self.store)
            keys.append(model.new_key())
            batch.put(keys[-1], bytes(model.chance.randrange(60)))
            if model.chance.random() < 0.2:
                batch.delete_range(*DROPPED)
            batch.put(DROPPED[0] + keys[-1], b"")
            position = writer.place(batch.changes)
            writer.add(batch.changes, position)
            self.store.position = position
        if model.answers_first:
            model.note_acknowledged(keys)
        ended: asyncio.Queue[LogError | None] = asyncio.Queue()
        writer.append(ended.put_nowait)
        error = await ended.get()
        if error is not None:
            raise error
        if not model.answers_first:
            model.note_acknowledged(keys)


class Model:
    """One story. Subclasses drop a rule."""

    log_type = UnsureLog
    follower_type = Follower
    answers_first = False

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.records = MemoryRecords()
        self.lease = Lease()
        self.acknowledged: list[bytes] = []
        self.problems: list[str] = []
        self._keys = 0

    async def take_over(
        self, log: UnsureLog, store: ReplicatedStore, follower: Follower, epoch: int, name: str
    ) -> None:
        await take_over(log, store, follower, epoch, name)

    def may_read(self, trusted: bool) -> bool:
        return trusted

    def new_key(self) -> bytes:
        self._keys += 1
        return b"%06d" % self._keys

    def note_acknowledged(self, keys: list[bytes]) -> None:
        self.acknowledged += keys

    def note_read(self, rows: dict[bytes, bytes]) -> None:
        if any(key not in rows for key in self.acknowledged):
            self.problems.append("a client read what was true before")

    async def run(self, seconds: float) -> None:
        """Play for so many seconds of the loop's clock, and compare the stores."""
        nodes = [Node(self, f"n{i}") for i in range(NODES)]
        tasks = [asyncio.create_task(node.live()) for node in nodes]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError):
                self.problems.append(f"a node ended: {ended!r}")
        await asyncio.sleep(10)  # until nothing is on its way to the log
        stores = [await self._copy() for _ in range(2)]
        if any(key not in stores[0].rows for key in self.acknowledged):
            self.problems.append("an acknowledged write is lost")
        if stores[0].rows != stores[1].rows:
            self.problems.append("two followers differ")

    async def _copy(self) -> ModelStore:
        store = ModelStore()
        log = UnsureLog(self.records, self.chance)
        follower = self.follower_type(log, cast(ReplicatedStore, store))
        task = asyncio.create_task(follower.run())
        reached = asyncio.create_task(follower.reach(self.records.last))
        await asyncio.wait((task, reached), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            self.problems.append(f"a follower ended: {task.exception()!r}")
        task.cancel()
        reached.cancel()
        await asyncio.gather(task, reached, return_exceptions=True)
        return store
