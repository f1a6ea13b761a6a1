"""Reopens a store that failed, without a restart of the broker.

After a failed write to its log, a failed flush or a failed compaction, RocksDB accepts no writes until it is
opened again; only from a full disk it may recover by itself. So the broker refuses messages from the first
failure on. Each second it checks whether the files are in place and the directory can be written. Then it
reopens the store in the syncer's thread, and makes memory agree with the store before the next write.

`commit/pipeline.py` creates one `Healer`, and calls `store_failed` for each failure.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.commit.refused import RefusedMessages
from mq9fast.commit.syncer import Syncer
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.healing")

RETRY_SECONDS = 1.0
# RocksDB starts the compactions that are due soon after a reopening. If one of them cannot read a table
# within this time, it is probably the table that stopped all writes before, and it would stop them again
# after each further reopening. So compaction is turned off.
SAME_TABLE_SECONDS = 60.0
# The faults that /healthz shows while the store accepts no writes, and while compaction is off.
WRITES = "writes"
COMPACTION = "compaction"


class Healer:
    """Heals one store, in the running event loop until `stop`.

    `write_batch()` writes the changes that the current commit group has gathered. `abandon(error)` fails the
    commands whose changes are written but not durable; it returns false, and does nothing, while an fsync is
    under way. `min_sequence()` returns the sequence number of the last acknowledged change: `Store.reopen`
    fails if the reopened store lacks a change up to it.
    """

    def __init__(
        self,
        pending_work: PendingWork,
        accumulator: Accumulator,
        store: Store,
        syncer: Syncer,
        refused: RefusedMessages,
        health: Health,
        *,
        write_batch: Callable[[], None],
        abandon: Callable[[StoreError], bool],
        min_sequence: Callable[[], int],
    ) -> None:
        self._pending_work = pending_work
        self._accumulator = accumulator
        self._store = store
        self._syncer = syncer
        self._refused = refused
        self._health = health
        self._abandon = abandon
        self._write_batch = write_batch
        self._min_sequence = min_sequence
        self._task: asyncio.Task[None] | None = None
        self._compaction_on = True
        self._reopened_at = -SAME_TABLE_SECONDS

    @property
    def failed(self) -> bool:
        """Whether the store accepts no writes now."""
        return self._task is not None

    def store_failed(self, error: StoreError) -> None:
        """Start to heal the store, after a write, a sync or a check that failed."""
        self._health.report(WRITES, f"the store does not accept writes: {error}")
        self._store.refuse(error)
        if self._task is None:
            log.error("messages are refused: the store does not accept writes: %s", error)
            self._accumulator.store_failed = True
            if _is_unreadable_table(error) and time.monotonic() - self._reopened_at < SAME_TABLE_SECONDS:
                self._turn_compaction_off(error)
            self._task = asyncio.get_running_loop().create_task(self._heal(error))

    def _turn_compaction_off(self, error: StoreError) -> None:
        """Turn compaction off. Otherwise the same table would stop all writes again and again."""
        self._compaction_on = False
        reason = f"compaction is off until a restart, because a table is damaged or cannot be read: {error}"
        self._health.report(COMPACTION, reason)
        log.error("%s", reason)

    async def _heal(self, error: StoreError) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self._try(error)
            except StoreError as failure:
                error = failure
                self._health.report(WRITES, f"the store does not accept writes: {failure}")
            except Exception as failure:
                log.exception("the store could not be reopened")
                self._health.report(WRITES, f"the store does not accept writes: {failure}")
            else:
                break
        self._task = None
        self._accumulator.store_failed = False
        self._health.clear(WRITES)
        log.info("messages are accepted again: the store accepts writes")
        self._pending_work.schedule_end()

    async def _try(self, error: StoreError) -> None:
        """Reopen the store if that is needed, and accept writes again. Raises StoreError if that fails."""
        if not await self._syncer.recover():
            while not self._abandon(error):  # noqa: ASYNC110 (an fsync is under way, and fails soon)
                await asyncio.sleep(0.01)
            self._store.detach()
            await self._syncer.run(
                lambda: self._store.reopen(self._min_sequence(), compact=self._compaction_on)
            )
            self._store.attach()
            self._reopened_at = time.monotonic()
        # The store still accepts no writes here, so this fails all changes gathered during the outage.
        # `delete_stored` then reloads the mailboxes from the store. Do not await from here on: the next batch
        # must be the one with its deletions.
        self._write_batch()
        self._refused.delete_stored()
        self._store.resume()

    def stop(self) -> None:
        """Stop healing."""
        if self._task is not None:
            self._task.cancel()


def _is_unreadable_table(error: StoreError) -> bool:
    """Whether RocksDB failed because it could not read a table, as a compaction does."""
    text = str(error)
    return "Corruption" in text or (".sst" in text and "While pread" in text)
