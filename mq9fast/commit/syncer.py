"""Makes commit groups durable: the interface, and the implementation that syncs the store's files.

`commit/pipeline.py` requests syncs. `DiskSyncer` never lets the event loop wait for the disk. Most of its
syncs run in threads of the store, which do not need the interpreter. The others run in the syncer's thread.
`commit/healing.py` uses that thread to reopen the store, so that no sync runs at the same time. In a cluster,
`cluster/log_syncer.py` appends to the replicated log instead.
"""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from mq9fast.errors import StoreError
from mq9fast.storage.store import Store

T = TypeVar("T")
Done = Callable[[StoreError | None], None]


class Syncer(Protocol):
    """Runs requests one at a time and in order. Its methods are called in the event loop."""

    syncs: int
    """How many syncs there were."""

    sync_seconds: float
    """How long they took in total."""

    linger_seconds: float
    """How long a group may wait for clients that were just answered: see `Linger`. 0 if it should not."""

    def request(self, done: Done) -> None:
        """Make all written changes durable. Then `done(failure)` is called in the event loop, with None on
        success."""
        ...

    def may_read(self) -> bool:
        """Whether clients may be told what is stored, without a sync before it."""
        ...

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Call `work()` in a thread, while no sync runs. The future gets its result or exception."""
        ...

    async def recover(self) -> bool:
        """After a failure: whether the store accepts writes again without being reopened. Raises StoreError
        if it could not be reopened now either."""
        ...

    def stop(self) -> None:
        """Wait until all requests are done, and end all threads."""
        ...


NewSyncer = Callable[[asyncio.AbstractEventLoop, Store], Syncer]


class DiskSyncer:
    """Implements `Syncer` with the fsyncs of a store."""

    linger_seconds = 0.0

    def __init__(self, loop: asyncio.AbstractEventLoop, store: Store) -> None:
        self._loop = loop
        self._store = store
        self.syncs = 0
        self.sync_seconds = 0.0
        self._begun: Done | None = None  # of the sync that the store has begun
        self._begun_at = 0.0
        self._held: list[Callable[[], None]] = []  # requests that wait for that sync
        self._in_thread = 0  # requests that the thread has not answered
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mq9fast-sync", daemon=True)
        self._thread.start()
        loop.add_reader(store.sync_ended, self._sync_ended)

    def request(self, done: Done) -> None:
        if self._begun is None and not self._in_thread and self._store.begin_sync():
            self._begun, self._begun_at = done, time.perf_counter()
        else:
            self._put(lambda: self._sync_in_thread(done))

    def may_read(self) -> bool:
        return True

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        future = self._loop.create_future()
        self._put(lambda: self._answer(_settle, future, *_outcome(work)))
        return future

    async def recover(self) -> bool:
        await self.run(self._store.probe)
        return await self.run(self._store.has_recovered)

    def stop(self) -> None:
        self._loop.remove_reader(self._store.sync_ended)
        if self._begun is not None:
            self._finish_sync()
        self._requests.put(None)
        self._thread.join()

    def _put(self, request: Callable[[], None]) -> None:
        if self._begun is None:
            self._in_thread += 1
            self._requests.put(request)
        else:
            self._held.append(request)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            request()

    def _sync_ended(self) -> None:
        os.read(self._store.sync_ended, 1)
        self._finish_sync()

    def _finish_sync(self) -> None:
        """Finish what `request` has begun. It waits if the store's threads are not done."""
        done, self._begun = self._begun, None
        held, self._held = self._held, []
        assert done is not None
        failure, is_complete = None, True
        try:
            is_complete = self._store.finish_sync()
        except StoreError as error:
            failure = error
        self._count(self._begun_at)
        if not is_complete:
            self._put(lambda: self._sync_in_thread(done))
        for request in held:
            self._put(request)
        if is_complete:
            done(failure)

    def _sync_in_thread(self, done: Done) -> None:
        begun = time.perf_counter()
        failure: StoreError | None = None
        try:
            self._store.sync()
        except StoreError as error:
            failure = error
        except Exception as error:
            # `done` must be called in every case: otherwise the commit group would wait for ever.
            failure = StoreError(f"{type(error).__name__}: {error}")
        self._count(begun)
        self._answer(done, failure)

    def _count(self, begun: float) -> None:
        self.syncs += 1
        self.sync_seconds += time.perf_counter() - begun

    def _answer(self, call: Callable[..., None], *args: Any) -> None:
        self._loop.call_soon_threadsafe(self._answered, call, *args)

    def _answered(self, call: Callable[..., None], *args: Any) -> None:
        self._in_thread -= 1
        call(*args)


def _outcome(work: Callable[[], object]) -> tuple[object, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


def _settle(future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if future.done():  # cancelled, because the broker stops
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
