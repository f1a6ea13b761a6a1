"""A store that failed works again by itself, once that can be, without a restart of the broker.

RocksDB refuses every write after one failure of its log, a flush or a compaction, until it is opened anew (it
may recover from a full disk alone). So from the first failure on messages are refused, and the broker tries
each second: are the files there, can the directory be written? Then it closes the store and opens it again in
the syncer's thread, and makes memory and store agree before anything is written.
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
# A store that meets a table it cannot read so soon after it was opened meets it again.
AGAIN_SECONDS = 60.0
# The faults that /healthz shows while the store takes no writes, and while it may not compact.
WRITES = "writes"
COMPACTION = "compaction"


class Healer:
    """Watches over one store, in the running event loop until `stop`.

    `write_batch()` writes what has gathered. `abandon(error)` refuses what is written and not durable, and
    returns whether it could. `min_sequence()` is the sequence number up to which the store must have
    everything when it is opened again.
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
        self._compacts = True
        self._reopened = -AGAIN_SECONDS

    @property
    def failed(self) -> bool:
        """Whether the store takes no writes for now."""
        return self._task is not None

    def note(self, error: StoreError) -> None:
        """The store did not take a write or a sync: have it heal."""
        self._health.report(WRITES, f"the store does not take writes: {error}")
        self._store.refuse(error)
        if self._task is None:
            log.error("messages are refused: the store does not take writes: %s", error)
            self._accumulator.store_failed = True
            if _is_of_a_table(error) and time.monotonic() - self._reopened < AGAIN_SECONDS:
                self._compact_no_more(error)
            self._task = asyncio.get_running_loop().create_task(self._heal(error))

    def _compact_no_more(self, error: StoreError) -> None:
        """The same table would stop all writes again and again."""
        self._compacts = False
        reason = f"compaction is off until a restart, since a table is damaged or cannot be read: {error}"
        self._health.report(COMPACTION, reason)
        log.error("%s", reason)

    async def _heal(self, error: StoreError) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self._try(error)
            except StoreError as failure:
                error = failure
                self._health.report(WRITES, f"the store does not take writes: {failure}")
            except Exception as failure:
                log.exception("the store could not be opened again")
                self._health.report(WRITES, f"the store does not take writes: {failure}")
            else:
                break
        self._task = None
        self._accumulator.store_failed = False
        self._health.clear(WRITES)
        log.info("messages are taken again: the store takes writes")
        self._pending_work.schedule_end()

    async def _try(self, error: StoreError) -> None:
        """Raises StoreError if the store cannot work yet."""
        await self._syncer.run(self._store.probe)
        if not await self._syncer.run(self._store.has_recovered):
            while not self._abandon(error):  # noqa: ASYNC110 (an fsync is under way, and fails soon)
                await asyncio.sleep(0.01)
            self._store.detach()
            await self._syncer.run(lambda: self._store.reopen(self._min_sequence(), compact=self._compacts))
            self._store.attach()
            self._reopened = time.monotonic()
        # What was gathered meanwhile fails, since mailboxes go back to what is stored. No turn ends from here
        # on: the first batch has the deletions of what was refused.
        self._write_batch()
        self._refused.settle()
        self._store.resume()

    def stop(self) -> None:
        """Try no more."""
        if self._task is not None:
            self._task.cancel()


def _is_of_a_table(error: StoreError) -> bool:
    """Whether RocksDB failed at reading a table, which is what a compaction does."""
    text = str(error)
    return "Corruption" in text or (".sst" in text and "While pread" in text)
