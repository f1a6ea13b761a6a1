"""A timer that is pending at most once."""

import asyncio
from collections.abc import Callable


class Timer:
    """Calls `call()` in the running event loop, once for each `start`, and never after `stop`."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self, seconds: float) -> None:
        """Call in so many seconds; one that is pending already stays as it is."""
        if self._handle is None and not self._stopped:
            self._handle = self._loop.call_later(seconds, self._run)

    def _run(self) -> None:
        self._handle = None
        self._call()

    def stop(self) -> None:
        """Call no more; a later `start` does nothing."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
