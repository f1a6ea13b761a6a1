"""The thread that makes the store durable, so that the event loop never waits for the disk."""

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
    """Runs one request at a time, in their order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: Store) -> None:
        self._loop = loop
        self._store = store
        self.syncs = 0
        self.sync_seconds = 0.0
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mq9fast-sync", daemon=True)
        self._thread.start()

    def request(self, done: Callable[[StoreError | None], None]) -> None:
        """Sync what was written so far, then have the event loop call `done` with what went wrong."""
        self._requests.put(lambda: self._tell(done, self._sync()))

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Have the thread call `work()`, between two syncs; what it returns or raises comes in the future."""
        future = self._loop.create_future()
        self._requests.put(lambda: self._answer(future, *_outcome(work)))
        return future

    def stop(self) -> None:
        """Wait for what was requested, and end the thread."""
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
            # Without an answer the turn would wait for ever.
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
    if future.done():  # cancelled: the broker stops
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
