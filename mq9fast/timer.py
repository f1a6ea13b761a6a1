"""A timer that is pending at most once, for asyncio. Parts of the broker that must not pile up timers use
it."""

import asyncio
from collections.abc import Callable


class Timer:
    """Calls `call()` in the running event loop once for each `start`, but never after `stop`."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self, seconds: float) -> None:
        """Call in `seconds`. If a call is pending already, this does nothing."""
        if self._handle is None and not self._stopped:
            self._handle = self._loop.call_later(seconds, self._run)

    def _run(self) -> None:
        self._handle = None
        self._call()

    def stop(self) -> None:
        """Cancel a pending call; a later `start` does nothing."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
