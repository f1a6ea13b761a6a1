"""Work that the broker repeats at intervals. An exception in one run does not end the next runs.

`server/housekeeping.py`, `commit/read_retry.py` and the syncs of `sync = "interval"` use it.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from mq9fast.errors import UNREADABLE
from mq9fast.health import Health

log = logging.getLogger("mq9fast.periodic")

# A step that fails again and again is logged at most once in this time.
FAILURE_LOG_SECONDS = 10.0


class Step:
    """One piece of periodic work. `work()` returns true if there is more to do soon.

    While `work` raises, /healthz and the log say that `name` failed. So `name` is a noun or a gerund, such as
    "purging".
    """

    def __init__(self, name: str, work: Callable[[], object], health: Health) -> None:
        self.name = name
        self._work = work
        self._health = health
        self._failure_logged_at = -FAILURE_LOG_SECONDS

    def run(self) -> bool:
        """Do the work once; returns whether there is more to do soon. Never raises Exception."""
        try:
            more = bool(self._work())
        except Exception as error:
            self._health.report(self.name, f"{self.name} failed: {error}")
            self._log_failure(error)
            return False
        self._health.clear(self.name)
        return more

    def _log_failure(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._failure_logged_at >= FAILURE_LOG_SECONDS:
            self._failure_logged_at = now
            # An error of the system or the store needs no traceback. Any other exception is a bug.
            bug = None if isinstance(error, (OSError, *UNREADABLE)) else error
            log.error("%s failed: %s", self.name, error, exc_info=bug)


class Periodic:
    """Runs `steps` in the running event loop, at once and then every `seconds`, until `stop`.

    The steps after a failed one run too. `soon`: seconds until the next run if a step has more to do.
    """

    def __init__(self, seconds: float, *steps: Step, soon: float | None = None) -> None:
        self._seconds = seconds
        self._soon = seconds if soon is None else soon
        self._steps = steps
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle = self._loop.call_soon(self._run)

    def _run(self) -> None:
        more = False
        try:
            for step in self._steps:
                more = step.run() or more
        finally:
            if not self._stopped:
                self._timer = self._loop.call_later(self._soon if more else self._seconds, self._run)

    def stop(self) -> None:
        """Stop: no step runs any more."""
        self._stopped = True
        self._timer.cancel()
