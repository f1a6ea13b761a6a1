"""A thread that syncs the store, so that the event loop never waits for the disk.

`commit/pipeline.py` creates one `Syncer` and requests syncs. `commit/healing.py` uses the thread to reopen
the store, so that no sync runs at the same time.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from mq9fast.errors import StoreError
from mq9fast.storage.store import Store

T = TypeVar("T")


class Syncer:
    """Runs requests in a thread, one at a time and in order. Its methods are called in the event loop.

    `syncs`, `sync_seconds`: how many syncs there were, and how long they took in total.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, store: Store) -> None:
        self._loop = loop
        self._store = store
        self.syncs = 0
        self.sync_seconds = 0.0
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mq9fast-sync", daemon=True)
        self._thread.start()

    def request(self, done: Callable[[StoreError | None], None]) -> None:
        """Sync all written changes. Then `done(failure)` is called in the event loop, with None on
        success."""
        self._requests.put(lambda: self._tell(done, self._sync()))

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Call `work()` in the thread, between two syncs. The future gets its result or exception."""
        future = self._loop.create_future()
        self._requests.put(lambda: self._answer(future, *_outcome(work)))
        return future

    def stop(self) -> None:
        """Wait until all requests are done, and end the thread."""
        self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            request()

    def _sync(self) -> StoreError | None:
        begun = time.perf_counter()
        failure: StoreError | None = None
        try:
            self._store.sync()
        except StoreError as error:
            failure = error
        except Exception as error:
            # `done` must be called in every case: otherwise the commit group would wait for ever.
            failure = StoreError(f"{type(error).__name__}: {error}")
        self.syncs += 1
        self.sync_seconds += time.perf_counter() - begun
        return failure

    def _answer(self, future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
        self._loop.call_soon_threadsafe(_settle, future, result, error)

    def _tell(self, done: Callable[[StoreError | None], None], failure: StoreError | None) -> None:
        self._loop.call_soon_threadsafe(done, failure)


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
