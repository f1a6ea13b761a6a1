"""A thread that runs an event loop, for programs that have none."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

T = TypeVar("T")


class LoopClosedError(RuntimeError):
    """The loop is closed, or was closed before the coroutine ended."""


class LoopThread:
    """The loop is uvloop's if that is installed. It runs until `close`."""

    def __init__(self, name: str) -> None:
        self._loop = _new_loop()
        self.is_closed = False
        # So that no coroutine is given to a loop that has just ended: it would be waited for for ever.
        self._closing = threading.Lock()
        # A daemon: a program that ends without `close` does not wait for it.
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop; returns what it returns. Raises what it raises, and LoopClosedError.

        An exception that comes to the waiting thread, such as KeyboardInterrupt, cancels the coroutine.
        """
        with self._closing:
            if self.is_closed:
                coroutine.close()
                raise LoopClosedError
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise LoopClosedError from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs in the loop, and end the thread. Does nothing if it is closed."""
        with self._closing:
            if self.is_closed:
                return
            self.is_closed = True
        asyncio.run_coroutine_threadsafe(_end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _end() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
