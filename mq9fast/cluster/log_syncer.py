"""Makes commit groups durable in the replicated log: each sync is an append of what the store has written.

`commit/pipeline.py` requests one sync for a commit group, and has only one under way. While the log does not
answer, the group waits, and clients that send are stalled. `/healthz` tells.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from mq9fast.cluster.log import LogError, LogFull
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.commit.syncer import Done
from mq9fast.errors import StoreError
from mq9fast.health import Health

T = TypeVar("T")
# The fault that /healthz shows while the log does not answer, and after how long.
FAULT = "log"
QUIET_SECONDS = 1.0
# About as long as an append takes on a fast disk.
LINGER_SECONDS = 0.002


class LogSyncer:
    """Implements `Syncer` for the owner of the log. `store.writer` is set.

    `may_read()`: whether this node surely owns the log now. `lost(error)` is called when an append fails for
    good: the node is not the owner any more.
    """

    linger_seconds = LINGER_SECONDS

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: ReplicatedStore,
        health: Health,
        *,
        may_read: Callable[[], bool],
        lost: Callable[[LogError], None],
    ) -> None:
        assert store.writer is not None
        self._loop = loop
        self._store = store
        self._writer: LogWriter = store.writer
        self._health = health
        self._may_read = may_read
        self._lost = lost
        self._waiting: list[Done] = []
        self._begun: list[Done] | None = None
        self._begun_at = 0.0
        self._quiet_timer: asyncio.TimerHandle | None = None
        self._final: LogError | None = None
        self.syncs = 0
        self.sync_seconds = 0.0
        # What a start writes belongs to no commit group.
        loop.call_soon(self._append_the_start)

    def request(self, done: Done) -> None:
        self._waiting.append(done)
        if self._begun is None:
            self._append()

    @property
    def waiting_seconds(self) -> float:
        """For how long the log has not answered what was appended last; 0 if it has."""
        return 0.0 if self._begun is None else time.perf_counter() - self._begun_at

    def probe(self) -> None:
        """Append an empty record, to see if the log answers, unless something is being appended already."""
        if self._begun is None:
            self.request(lambda failure: None)

    def may_read(self) -> bool:
        return self._final is None and self._may_read()

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        return self._loop.run_in_executor(None, work)

    async def recover(self) -> bool:
        if self._final is not None:
            raise StoreError(str(self._final))
        if not await self.run(self._store.has_recovered):
            raise StoreError("the store of this node accepts no writes: see its log file")
        if self._writer.has_unappended:
            # A group that the log had no space for: its clients were refused, and the store has it.
            ended: asyncio.Queue[StoreError | None] = asyncio.Queue()
            self.request(ended.put_nowait)
            failure = await ended.get()
            if failure is not None:
                raise failure
        return True

    def stop(self) -> None:
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()

    def _append_the_start(self) -> None:
        if self._begun is None and self._writer.has_unappended:
            self.request(lambda failure: None)

    def _append(self) -> None:
        self._begun, self._waiting = self._waiting, []
        self._begun_at = time.perf_counter()
        if self._final is not None:
            self._loop.call_soon(self._appended, self._final)
            return
        self._quiet_timer = self._loop.call_later(QUIET_SECONDS, self._report_quiet)
        self._writer.append(self._appended)

    def _report_quiet(self) -> None:
        seconds = time.perf_counter() - self._begun_at
        self._health.report(FAULT, f"the replicated log has not answered for {seconds:.0f} seconds")
        self._quiet_timer = self._loop.call_later(QUIET_SECONDS, self._report_quiet)

    def _appended(self, error: LogError | None) -> None:
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()
        self._health.clear(FAULT)
        begun, self._begun = self._begun or [], None
        self.syncs += 1
        self.sync_seconds += time.perf_counter() - self._begun_at
        failure = None if error is None else StoreError(str(error))
        if error is not None and not isinstance(error, LogFull) and self._final is None:
            self._final = error
            self._lost(error)
        try:
            for done in begun:
                done(failure)
        finally:
            if error is None:
                # Later than the replies, which need not wait for it.
                self._store.confirm(self._writer.log.end())
            if self._waiting and self._begun is None:
                self._append()
