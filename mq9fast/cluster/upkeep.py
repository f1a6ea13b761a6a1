"""What a node does from time to time: it checks and flushes its store, asks a silent log again, trims it."""

import asyncio
import logging
import time
from collections.abc import Callable

from mq9fast.cluster.presence import NodeState
from mq9fast.cluster.replica import Replica
from mq9fast.cluster.trimming import TRIM_SECONDS, Trimmer
from mq9fast.errors import StoreError

log = logging.getLogger("mq9fast.cluster")

STEP_SECONDS = 1.0
# A store without a log of its own reads that much of the replicated log again after a crash.
FLUSH_SECONDS = 60.0
# A consumer of JetStream may send heartbeats and no records, for ever. A node that is behind and gets nothing
# for this long reads the log again.
STUCK_SECONDS = 5.0


class Upkeep:
    """Works until it is cancelled. `replica()` and `trimmer()` return None while there is none."""

    def __init__(
        self,
        replica: Callable[[], Replica | None],
        trimmer: Callable[[], Trimmer | None],
        nodes: Callable[[], list[NodeState]],
    ) -> None:
        self._replica = replica
        self._trimmer = trimmer
        self._nodes = nodes
        self._flushed_at = self._trimmed_at = self._moved_at = time.monotonic()
        self._applied = 0

    async def run(self) -> None:
        """Take a step every second."""
        while True:
            await asyncio.sleep(STEP_SECONDS)
            is_full = any(each.log_full for each in self._nodes())
            self._read_on()
            if (replica := self._replica()) is not None:
                replica.check()
            await self._flush(is_full=is_full)
            await self._trim(is_full=is_full)

    def _read_on(self) -> None:
        replica, now = self._replica(), time.monotonic()
        applied = 0 if replica is None else replica.applied
        is_behind = any(each.applied > applied for each in self._nodes())
        if replica is None or not is_behind or applied != self._applied:
            self._applied, self._moved_at = applied, now
        elif now - self._moved_at >= STUCK_SECONDS:
            self._moved_at = now
            log.warning(
                "nothing comes from the log behind record %d, which others have: it is asked again", applied
            )
            replica.read_again()

    async def _flush(self, *, is_full: bool) -> None:
        replica, now = self._replica(), time.monotonic()
        if replica is None or not (is_full or now - self._flushed_at >= FLUSH_SECONDS):
            return
        self._flushed_at = now
        try:
            await replica.flush()
        except StoreError as error:
            log.error("the store could not be flushed: %s", error)

    async def _trim(self, *, is_full: bool) -> None:
        trimmer, now = self._trimmer(), time.monotonic()
        if trimmer is None or not (is_full or now - self._trimmed_at >= TRIM_SECONDS):
            return
        self._trimmed_at = now
        await trimmer.step(is_full=is_full)
