"""All periodic work of a broker, in one timer: expiry, purging, checks of the disk, and work for idle times.

`server/broker.py` creates one `Housekeeping` when it starts to serve, and stops it first when it stops. The
steps call other packages, which do the work; only the check of the free disk space is here.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from mq9fast._core.base.heap_memory import trim_memory
from mq9fast._core.base.limits import Limits
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.deduplicator import Deduplicator
from mq9fast._core.discarder import Discarder
from mq9fast._core.engine import Engine
from mq9fast._core.expirer import Expirer
from mq9fast._core.replacer import Replacer
from mq9fast.commit.healing import COMPACTION, WRITES
from mq9fast.commit.page_cache import PageCacheLimit
from mq9fast.commit.pipeline import CommitPipeline
from mq9fast.commit.value_cleaner import ValueCleaner
from mq9fast.health import Health
from mq9fast.mailbox.lifecycle import Mailboxes
from mq9fast.periodic import Periodic, Step
from mq9fast.server.read_before_expiry import ReadBeforeExpiry
from mq9fast.server.timekeeping import Timekeeper
from mq9fast.storage.compaction import Compaction

log = logging.getLogger("mq9fast.clock")

TICK_SECONDS = 0.25
# The time between two ticks while a step has more work than fits into one turn of the event loop.
BUSY_TICK_SECONDS = 0.005
# After so many ticks without a write the store counts as idle, and flushes its memtables.
IDLE_TICKS = 8
# Every so many ticks the broker checks whether to compact, idle or not.
COMPACT_TICKS = 40
# The fault that /healthz shows while less than min_free is free.
DISK = "disk"


class Housekeeping:
    """Does the periodic work of one broker until `stop`. A step runs even if the one before it failed."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        mailboxes: Mailboxes,
        accumulator: Accumulator,
        pipeline: CommitPipeline,
        timekeeper: Timekeeper,
        deduplicator: Deduplicator,
        expirer: Expirer,
        discarder: Discarder,
        replacer: Replacer,
        thin: Callable[[], bool],
        value_cleaner: ValueCleaner,
        page_cache_limit: PageCacheLimit,
        compaction: Compaction,
        health: Health,
        data_dir: Path,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._mailboxes = mailboxes
        self._accumulator = accumulator
        self._pipeline = pipeline
        self._read_before_expiry = ReadBeforeExpiry(engine)
        self._thin_some = thin
        self._value_cleaner = value_cleaner
        self._compaction = compaction
        self._health = health
        self._data_dir = data_dir
        self._written_batches = 0
        self._idle_ticks = 0
        self._ticks = 0
        self._periodic = Periodic(
            TICK_SECONDS,
            Step("expiry", self._expire, health),
            Step("expiry of messages", expirer.work_some, health),
            Step("giving messages out again", engine.delivery.tick, health),
            Step("saving the time", timekeeper.tick, health),
            Step("purging", mailboxes.purges.purge_some, health),
            Step("forgetting message ids", deduplicator.work_some, health),
            Step("dropping old messages", discarder.work_some, health),
            Step("dropping replaced messages", replacer.work_some, health),
            Step("looking for orphaned messages", mailboxes.purge_orphans, health),
            Step("rewriting sparse record batches", self._thin, health),
            Step("cleaning the value log", self._clean_values, health),
            Step("limiting the page cache", page_cache_limit.step, health),
            Step("checking the free disk space", self._check_free_space, health),
            Step("checking the data directory", pipeline.check, health),
            Step("releasing memory", self._release_memory_if_idle, health),
            Step("checking whether to compact", self._compact, health),
            Step("committing", self._commit, health),
            soon=BUSY_TICK_SECONDS,
        )

    def _expire(self) -> bool:
        self._engine.update_clock()
        if self._engine.after_gap:
            self._read_before_expiry.begin()
        return self._mailboxes.expire_due()

    def _thin(self) -> bool:
        """Rewrite record batches in which most messages are deleted, a few in each call. Not while the store
        accepts no writes."""
        return not self._health.has(WRITES) and self._thin_some()

    def _clean_values(self) -> bool:
        return self._value_cleaner.step(idle=self._idle_ticks >= 2 * IDLE_TICKS)

    def _commit(self) -> None:
        """Schedule the end of the turn, which commits the changes of the other steps."""
        if not self._accumulator.group.is_empty:
            self._engine.pending_work.schedule_end()

    def _check_free_space(self) -> None:
        """Refuse messages while less than `min_free` is free. DELETE, expiry and compaction need that
        space."""
        min_free = self._limits.min_free
        full = min_free > 0 and _free_bytes(self._data_dir) < min_free
        if full != self._accumulator.disk_full:
            self._accumulator.disk_full = full
            if full:
                reason = f"the disk of {self._data_dir} has less than {min_free} bytes free (min_free)"
                self._health.report(DISK, reason)
                log.error("messages are refused: %s", reason)
            else:
                self._health.clear(DISK)
                log.info("messages are accepted again: the disk of %s has enough space", self._data_dir)

    def _release_memory_if_idle(self) -> None:
        written_batches = self._pipeline.written_batches
        self._idle_ticks = self._idle_ticks + 1 if written_batches == self._written_batches else 0
        self._written_batches = written_batches
        if self._idle_ticks == IDLE_TICKS:
            self._pipeline.flush_memtables()
        elif self._idle_ticks == 2 * IDLE_TICKS:
            # The flush has ended by now.
            self._engine.router.sublist.forget_stale_matches()
            trim_memory()

    def _compact(self) -> None:
        """Start a compaction if it is needed: when the store becomes idle, and every COMPACT_TICKS."""
        self._ticks += 1
        if self._health.has(WRITES) or self._health.has(COMPACTION):
            return
        if self._idle_ticks == 2 * IDLE_TICKS or self._ticks % COMPACT_TICKS == 0:
            self._compaction.start_if_needed(idle=self._idle_ticks >= 2 * IDLE_TICKS)

    def stop(self) -> None:
        """Stop: no step runs any more, and no compaction starts."""
        self._periodic.stop()
        self._compaction.stop()


def _free_bytes(path: Path) -> int:
    stats = os.statvfs(path)
    return stats.f_bavail * stats.f_frsize
