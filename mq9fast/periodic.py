"""Work that is done again and again while the broker runs. One run that fails never ends it."""

import asyncio
import logging
import time
from collections.abc import Callable

from mq9fast.errors import UNREADABLE
from mq9fast.health import Health

log = logging.getLogger("mq9fast.periodic")

# At most one log line about one step's failures in this time.
FAILURE_LOG_SECONDS = 10.0


class Step:
    """One piece of periodic work. `work()` returns true if there is more to do soon.

    While it raises, /healthz shows so under `name`, and the log says so now and then.
    """

    def __init__(self, name: str, work: Callable[[], object], health: Health) -> None:
        self.name = name
        self._work = work
        self._health = health
        self._failure_logged_at = -FAILURE_LOG_SECONDS

    def run(self) -> bool:
        """Do the work once; returns whether there is more to do soon. Raises no Exception."""
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
            # What the system or the store refused needs no traceback; anything else is a bug.
            bug = None if isinstance(error, (OSError, *UNREADABLE)) else error
            log.error("%s failed: %s", self.name, error, exc_info=bug)


class Periodic:
    """Runs `steps` in the running event loop, at once and then every `seconds`, until `stop`.

    A step that fails keeps no other from running. `soon`: seconds to the next run if a step has more to do.
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
        """Run no more."""
        self._stopped = True
        self._timer.cancel()
