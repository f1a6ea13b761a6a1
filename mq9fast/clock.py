"""One clock for everything that comes due: mailboxes expire, and what they held is dropped."""

import asyncio
import logging
import time

from mq9fast._core.session import Core
from mq9fast.errors import StoreError
from mq9fast.mailboxes import Mailboxes

log = logging.getLogger("mq9fast.clock")

TICK_SECONDS = 0.25
# Between two shares of work when there is more than one turn should do.
BUSY_TICK_SECONDS = 0.005


class Clock:
    """Ticks for as long as it is not stopped."""

    def __init__(self, core: Core, mailboxes: Mailboxes) -> None:
        self._core = core
        self._mailboxes = mailboxes
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._mailboxes.directory.now_ms = time.time_ns() // 1_000_000
        more = self._mailboxes.expire_due()
        try:
            more = self._mailboxes.purge_some() or more
        except StoreError as error:
            log.error("reading failed: %s", error)
        if not self._core.intake.turn.empty:
            self._core.agenda.ask()
        self._timer = self._loop.call_later(BUSY_TICK_SECONDS if more else TICK_SECONDS, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        self._timer.cancel()
