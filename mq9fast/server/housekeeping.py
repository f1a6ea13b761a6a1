"""One clock: mailboxes expire, what they held is dropped, the disk is looked at, and a quiet store rests."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from mq9fast._core.base.limits import Limits
from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.engine import Engine
from mq9fast.commit.healing import COMPACTION, WRITES
from mq9fast.commit.pipeline import CommitPipeline
from mq9fast.health import Health
from mq9fast.mailbox.lifecycle import Mailboxes
from mq9fast.periodic import Periodic, Step
from mq9fast.server.memory import trim
from mq9fast.server.read_first import ReadFirst
from mq9fast.server.timekeeping import Timekeeper
from mq9fast.storage.compaction import Compaction

log = logging.getLogger("mq9fast.clock")

TICK_SECONDS = 0.25
# Between two shares of work when there is more than one turn should do.
BUSY_TICK_SECONDS = 0.005
# Ticks without a write after which the store gives back what writing took.
QUIET_TICKS = 8
# Ticks after which the store is looked at for tables to compact, at rest or not.
COMPACT_TICKS = 40
# The fault that /healthz shows while min_free is not met.
DISK = "disk"


class Housekeeping:
    """Ticks until it is stopped. Each step of a tick is done even if the one before it fails."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        mailboxes: Mailboxes,
        accumulator: Accumulator,
        pipeline: CommitPipeline,
        timekeeper: Timekeeper,
        thin: Callable[[], bool],
        compaction: Compaction,
        health: Health,
        data_dir: Path,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._mailboxes = mailboxes
        self._accumulator = accumulator
        self._pipeline = pipeline
        self._read_first = ReadFirst(engine)
        self._thin_some = thin
        self._compaction = compaction
        self._health = health
        self._data_dir = data_dir
        self._written = 0
        self._quiet_ticks = 0
        self._ticks = 0
        self._periodic = Periodic(
            TICK_SECONDS,
            Step("expiry", self._expire, health),
            Step("noting the time", timekeeper.look, health),
            Step("purging", mailboxes.purges.do_some, health),
            Step("looking for leftovers", mailboxes.drop_leftovers, health),
            Step("thinning runs", self._thin, health),
            Step("looking for room on the disk", self._check_free_space, health),
            Step("looking after the data directory", pipeline.check, health),
            Step("giving back memory", self._rest_when_quiet, health),
            Step("looking for tables to compact", self._compact, health),
            Step("ending the clock's turn", self._end_turn, health),
            soon=BUSY_TICK_SECONDS,
        )

    def _expire(self) -> bool:
        self._engine.update_clock()
        if self._engine.after_gap:
            self._read_first.begin()
        return self._mailboxes.expire_due()

    def _thin(self) -> bool:
        """Write runs again of which most is deleted, some at a time, unless the store takes no writes."""
        return not self._health.has(WRITES) and self._thin_some()

    def _end_turn(self) -> None:
        if not self._accumulator.group.empty:
            self._engine.pending_work.schedule_end()

    def _check_free_space(self) -> None:
        """Refuse messages while the disk lacks the room that deleting, expiry and compaction need."""
        if not self._limits.min_free:
            return
        full = shutil.disk_usage(self._data_dir).free < self._limits.min_free
        if full != self._accumulator.disk_full:
            self._accumulator.disk_full = full
            if full:
                self._health.report(DISK, f"less than {self._limits.min_free} bytes of disk are free")
                log.error("messages are refused: less than %d bytes of disk are free", self._limits.min_free)
            else:
                self._health.clear(DISK)
                log.info("messages are taken again: there is room on the disk")

    def _rest_when_quiet(self) -> None:
        written = self._pipeline.written_batches
        self._quiet_ticks = self._quiet_ticks + 1 if written == self._written else 0
        self._written = written
        if self._quiet_ticks == QUIET_TICKS:
            self._pipeline.flush_memtables()
        elif self._quiet_ticks == 2 * QUIET_TICKS:
            # By now the store is done.
            trim()

    def _compact(self) -> None:
        """Have deleted data leave the disk: once the store has come to rest, and now and then."""
        self._ticks += 1
        if self._health.has(WRITES) or self._health.has(COMPACTION):
            return
        if self._quiet_ticks == 2 * QUIET_TICKS or self._ticks % COMPACT_TICKS == 0:
            self._compaction.start_if_needed(idle=self._quiet_ticks >= 2 * QUIET_TICKS)

    def stop(self) -> None:
        """Tick no more."""
        self._periodic.stop()
        self._compaction.stop()
