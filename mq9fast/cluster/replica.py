"""The store of this node with its place in the log: opened, seeded if it cannot follow, following, owning.

`cluster/node.py` opens one, uses it as a standby and as the owner, and closes it before it opens another.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from mq9fast.cluster import seeding
from mq9fast.cluster.appender import REGRESSED_SECONDS
from mq9fast.cluster.follower import Diverged, Follower, TooOld
from mq9fast.cluster.log import Log, LogError, LogRegressed
from mq9fast.cluster.record import Position
from mq9fast.cluster.regression import until_lacking
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.cluster.takeover import take_over
from mq9fast.cluster.tasks import end_tasks
from mq9fast.cluster.transfer_protocol import TransferError
from mq9fast.errors import ReadError, StoreError

log = logging.getLogger("mq9fast.cluster")

# Between two looks for a node whose store can be copied.
SOURCE_SECONDS = 0.5
# Without any node whose store can be copied for so long, the log file says so.
TELL_SECONDS = 10.0
# A log that has ended before the place of the store for so long does not get what only the store has.
AHEAD_SECONDS = 2.0


class Replica:
    """The store in one directory, on one log. `close` ends all of it.

    `source()` returns the address of a node whose store can be copied, or None while there is none. `tls`: to
    copy it.
    `broken`: RocksDB accepts no writes any more. `unreadable`: it could not read. `failure`: why.
    """

    def __init__(
        self,
        path: Path,
        max_files: int,
        secret: str,
        source: Callable[[], str | None],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.broken, self.unreadable = asyncio.Event(), asyncio.Event()
        self.failure: StoreError | None = None
        self._path = path
        self._max_files = max_files
        self._secret = secret
        self._source = source
        self._tls = tls
        self.store: ReplicatedStore | None = None
        self.follower: Follower | None = None
        self._records: Log | None = None
        self._following: asyncio.Task[None] | None = None
        self._is_given = False
        # Held while a thread uses the store, which nobody may close meanwhile.
        self._in_use = asyncio.Lock()
        self._is_ending = False

    @property
    def applied(self) -> int:
        """The last record of the log that the store has."""
        if self.store is None:
            return 0
        read = 0 if self.follower is None else self.follower.read
        return max(self.store.position.confirmed, read)

    @property
    def durable(self) -> int:
        """The record from which on the store needs the log after a power cut."""
        return 0 if self.store is None else self.store.flushed.sequence

    async def open(
        self, records: Log, seeding_begins: Callable[[], None], *, is_damaged: bool = False
    ) -> None:
        """Open the store, from a copy of another node's if that is needed, and begin to follow.

        `is_damaged`: use a copy if another node can give one. Raises StartError, StoreError, OSError, and
        LogError if the store cannot follow the log.
        """
        is_damaged = is_damaged and self._source() is not None
        if is_damaged:
            log.warning("the store is damaged; it is thrown away, and copied from another node")
        if is_damaged or await asyncio.to_thread(seeding.is_unfinished, self._path):
            seeding_begins()
            await self._seed()
        while True:
            self._is_ending = False
            self.store = ReplicatedStore(self._path, max_files=self._max_files)
            self.store.failed = self._failed_in(asyncio.get_running_loop())
            self.follower = Follower(records, self.store)
            self._records = records
            self._following = asyncio.get_running_loop().create_task(self.follower.run())
            try:
                await self._first_record(records)
                return
            except (Diverged, TooOld) as error:
                log.warning("%s; it is thrown away, and copied from another node", error)
                await self.close()
                seeding_begins()
                await self._seed()

    async def _first_record(self, records: Log) -> None:
        """Wait until the follower has found its place in the log. Raises what it finds instead."""
        assert self.store is not None and self.follower is not None and self._following is not None
        position = self.store.position
        if position.sequence == 0 and self._source() is None:
            return  # a new node, and perhaps a new log
        loop = asyncio.get_running_loop()
        reached = loop.create_task(self.follower.reach(1))
        failures = [self._following]
        failures += map(
            loop.create_task, (self._regressed(records, position), self._ahead(records, position))
        )
        try:
            await asyncio.wait((reached, *failures), return_when=asyncio.FIRST_COMPLETED)
            for task in failures:
                if task.done() and not reached.done():
                    task.result()
        finally:
            await end_tasks(reached, *failures[1:])

    async def _regressed(self, records: Log, position: Position) -> None:
        """Wait until the store cannot follow the log, and no other node has a store that can. Raises
        LogRegressed then."""
        had = position.confirmed
        found = await until_lacking(
            records,
            lambda log: had > 0 and (log.last < had or (log.is_empty and self._source() is None)),
            REGRESSED_SECONDS,
        )
        raise LogRegressed(f"{found.describe()}, and it had record {had}")

    async def _ahead(self, records: Log, position: Position) -> None:
        """Wait until it is sure that the log never got the end of what this store has, as the owner. Raises
        Diverged then, if another node can be copied: nobody may append anything that would show it."""
        await until_lacking(
            records,
            lambda log: position.confirmed <= log.last < position.sequence and self._source() is not None,
            AHEAD_SECONDS,
        )
        raise Diverged(f"the store has changes as record {position.sequence}, and the log ends before it")

    async def _seed(self) -> None:
        loop = asyncio.get_running_loop()
        tell_at = loop.time() + TELL_SECONDS
        while True:
            address = self._source()
            if address is not None:
                try:
                    await seeding.seed(self._path, address, self._secret, self._tls)
                    return
                except TransferError as error:
                    log.warning("the store was not copied, the node tries again: %s", error)
            elif loop.time() > tell_at:
                tell_at = loop.time() + TELL_SECONDS
                log.warning("no other node has a store that can be copied: this node waits for one")
            await asyncio.sleep(SOURCE_SECONDS)

    def read_again(self) -> None:
        """Have the follower ask the log again, if there is one."""
        if self._following is not None and self._records is not None:
            self._records.read_again()

    def _failed_in(self, loop: asyncio.AbstractEventLoop) -> Callable[[StoreError], None]:
        def failed(error: StoreError) -> None:
            self.failure = error
            event = self.unreadable if isinstance(error, ReadError) else self.broken
            loop.call_soon_threadsafe(event.set)

        return failed

    async def prove(self) -> None:
        """Write something, and flush it, to see that the store can. Raises StoreError."""
        assert self.store is not None
        self.store.apply((), self.store.position)
        async with self._in_use:
            await asyncio.to_thread(self.store.flush)

    def check(self) -> None:
        """Look at the store: what RocksDB does in the background may have failed. Then `broken` is set."""
        if self.store is not None and not self._is_ending:
            with contextlib.suppress(StoreError):
                self.store.check()

    async def follow(self) -> None:
        """Wait until the follower ends, which it does only if it or the store fails. Raises the failure."""
        assert self._following is not None
        loop = asyncio.get_running_loop()
        broken, gone = loop.create_task(self.broken.wait()), loop.create_task(self.until_log_is_gone())
        try:
            await asyncio.wait((self._following, broken, gone), return_when=asyncio.FIRST_COMPLETED)
            for task in (self._following, gone):
                if task.done():
                    task.result()
        finally:
            await end_tasks(broken, gone)
        raise self.failure or LogError("the log has no more records")

    async def until_log_is_gone(self) -> None:
        """Wait until the log, which has had records, never had any. Raises LogRegressed then."""
        assert self.store is not None and self._records is not None
        store = self.store
        found = await until_lacking(
            self._records, lambda log: store.position.confirmed > 0 and not log.last, REGRESSED_SECONDS
        )
        raise LogRegressed(f"{found.describe()}, and it had record {store.position.confirmed}")

    async def take_over(self, records: Log, epoch: int, node: str) -> ReplicatedStore:
        """Own the log from now on: fence it, and catch up. Raises LogError, or why the follower failed."""
        assert self.store is not None and self.follower is not None and self._following is not None
        taking = asyncio.get_running_loop().create_task(
            take_over(records, self.store, self.follower, epoch, node)
        )
        gone = asyncio.get_running_loop().create_task(self.until_log_is_gone())
        try:
            await asyncio.wait((taking, self._following, gone), return_when=asyncio.FIRST_COMPLETED)
            for task in (taking, self._following, gone):
                if task.done():
                    task.result()
                    break
        finally:
            await end_tasks(taking, gone)
        await self._stop_following()
        return self.store

    def give(self) -> None:
        """The broker that starts with this store closes it, too."""
        self._is_given = True

    async def checkpoint(self, path: Path) -> None:
        """Make a copy of the store as it is now. Raises StoreError."""
        async with self._in_use:
            if self.store is None or self._is_ending:
                raise TransferError("the store is not open")
            await asyncio.to_thread(self.store.checkpoint, path)

    async def flush(self) -> None:
        """Have the store need less of the log after a power cut. Raises StoreError."""
        async with self._in_use:
            if self.store is None or self._is_ending or self.store.flushed == self.store.position:
                return
            await asyncio.to_thread(self.store.flush)

    async def end_use(self) -> None:
        """Wait until no thread uses the store, and let none begin: it is about to be closed."""
        async with self._in_use:
            self._is_ending = True

    async def _stop_following(self) -> None:
        if self._following is not None:
            await end_tasks(self._following)
            self._following = None

    async def close(self) -> None:
        """Stop following, and close the store, unless the broker of the owner has closed it."""
        await self._stop_following()
        await self.end_use()
        store, self.store, self.follower = self.store, None, None
        if store is not None and not self._is_given:
            try:
                await asyncio.to_thread(store.close)
            except StoreError as error:
                # Nothing is lost: the log has what the store could not flush.
                log.error("the store could not be closed cleanly: %s", error)
