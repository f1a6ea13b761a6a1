"""The commit pipeline: writes each commit group to the store, makes it durable, and releases it.

The engine calls `commit` at the end of a turn of the event loop. `MailboxWriter` calls `write_batch`,
housekeeping calls `check` and `flush_memtables`, the broker calls `finish`. With `--sync always`,
threads run the fsyncs of a group while the next group gathers: a slow disk makes groups larger, not
more. With `interval` and `never` a thread of the store writes the large values of a group while the next
group gathers, and a group is released as soon as it is written. states.py draws the states.
"""

import asyncio
import logging
import os
import time

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.commit.commit_group import CommitGroup
from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.commit.healing import Healer
from mq9fast.commit.interval_sync import IntervalSync
from mq9fast.commit.linger import Linger
from mq9fast.commit.read_retry import ReadRetry
from mq9fast.commit.refused import RefusedMessages
from mq9fast.commit.states import FAILED, NEXT_STATES, RELEASED, SYNCING, WRITING, WRITTEN, GroupState
from mq9fast.commit.syncer import NewSyncer
from mq9fast.errors import UNREADABLE, CommandError, StoreError
from mq9fast.health import Health
from mq9fast.periodic import FAILURE_LOG_SECONDS
from mq9fast.storage.store import Batch, Store
from mq9fast.timer import Timer

log = logging.getLogger("mq9fast.pipeline")

# While an fsync runs, each part of the next group is written early once it is larger than this.
EARLY_WRITE_BYTES = 1 << 20
# While a client sends one message at a time, a group of at most this is written in the event loop: that takes
# less time than to wait until the system runs another thread, and then this one again.
QUICK_WRITE_BYTES = 512 << 10
# Clients that send faster than the store writes, or than their receivers read, are stalled this long.
RESUME_SECONDS = 0.01
# In a write stall of RocksDB the pipeline waits this long before it tries again.
WRITE_STALL_SECONDS = 0.005
# How often a broker that stops checks whether everything is durable.
FINISH_POLL_SECONDS = 0.001


class CommitPipeline:
    """Commits the groups of one broker, in the running event loop until `close`."""

    def __init__(
        self,
        pending_work: PendingWork,
        accumulator: Accumulator,
        delivery: Delivery,
        refused: RefusedMessages,
        store: Store,
        read_retry: ReadRetry,
        health: Health,
        *,
        new_syncer: NewSyncer,
        sync: str,
        sync_interval: float,
    ) -> None:
        self._pending_work = pending_work
        self._accumulator = accumulator
        self._delivery = delivery
        self._refused = refused
        self._store = store
        self._read_retry = read_retry
        self._sync_each_group = sync == "always"
        self._loop = asyncio.get_running_loop()
        self.syncer = new_syncer(self._loop, store)
        self._write_ended_at = store.write_ended
        if self._write_ended_at >= 0:
            self._loop.add_reader(self._write_ended_at, self._write_ended)
        self._writing: Batch | None = None  # of the sealed group, while a thread writes its large values
        self.healer = Healer(
            pending_work,
            accumulator,
            store,
            self.syncer,
            refused,
            health,
            write_batch=self.write_batch,
            abandon=self._abandon,
            min_sequence=self._promised_sequence,
        )
        self._interval: IntervalSync | None = None
        if sync == "interval":
            self._interval = IntervalSync(
                sync_interval, self.syncer, accumulator, store.values, self._sync_failed, health
            )
        self._resume_timer = Timer(self._resume_clients)
        self._write_stall_timer = Timer(pending_work.schedule_end)
        self._linger = Linger(self.syncer.linger_seconds)
        self._linger_timer = Timer(pending_work.schedule_end)
        self._finishing = False
        self._closed = False
        self._failure_logged_at = -FAILURE_LOG_SECONDS
        self.written_batches = 0
        self.failed_batches = 0

    def _set_state(self, group: CommitGroup, state: GroupState) -> None:
        assert state in NEXT_STATES[group.state], (
            f"a commit group in state {group.state} cannot be {state.name}"
        )
        group.state = state

    # For the engine, at the end of a turn.

    def commit(self) -> None:
        """Write and release the gathering group as far as possible now. Then let consumers catch up."""
        if self._closed:
            return
        self._advance()
        if self._delivery.has_catch_up:
            self._catch_up()

    def clients_stalled(self) -> None:
        """Clients are stalled: read from them again soon, if less waits for the store by then."""
        self._resume_timer.start(RESUME_SECONDS)

    def _resume_clients(self) -> None:
        if self._interval is not None:
            self._interval.check()
        if self._accumulator.full:
            self._resume_timer.start(RESUME_SECONDS)
        else:
            self._pending_work.resume_stalled()

    def _catch_up(self) -> None:
        """Read from the store for consumers that are behind. Deletions are written first, so that no consumer
        gets a deleted message."""
        if self._wait_for_store() or self._wait_for_lease():
            return
        self.write_batch()
        try:
            self._delivery.catch_up(self._store)
        except UNREADABLE as error:
            self._read_retry.failed(error)

    # From gathering to release.

    def _advance(self) -> None:
        group = self._accumulator.group
        if group.is_empty:
            return
        if self._accumulator.sealed is not None:
            is_large = group.batch_bytes > EARLY_WRITE_BYTES
            if is_large and self._writing is None and not self._store.write_stalled():
                self.write_batch()
            return
        if self._wait_for_store() or self._wait_for_senders():
            return
        is_quick = self._pending_work.hurried and group.batch_bytes <= QUICK_WRITE_BYTES
        batch = group.take_batch(self._store.new_batch)
        if batch is not None and not is_quick and self._begin_write(batch):
            self._set_state(self._accumulator.seal(), WRITING)
            self._writing = batch
            return
        if batch is not None:
            self._write(group, batch)
        self._set_state(self._accumulator.seal(), WRITTEN)
        self._after_write(group)

    def _wait_for_senders(self) -> bool:
        """If clients that were just answered may soon send more, schedule the end of a later turn and return
        true: the group is to have what they send."""
        group = self._accumulator.group
        if self._finishing or not self._linger.holds(group.reply_count, group.batch_bytes):
            return False
        self._linger_timer.start(self._linger.seconds)
        return True

    def _begin_write(self, batch: Batch) -> bool:
        """Have a thread write the large values of the batch; false if `write` is to write them."""
        # An fsync follows under `always`. It is faster to write parts of the next group during that fsync.
        if self._sync_each_group or self._finishing:
            return False
        try:
            return self._store.begin_write(batch)
        except StoreError:
            return False  # `write` fails too

    def _after_write(self, group: CommitGroup) -> None:
        if (group.has_written and self._sync_each_group) or not self.syncer.may_read():
            self._set_state(group, SYNCING)
            self.syncer.request(self._synced)
        else:
            self._release(group)

    def _write_ended(self) -> None:
        """The thread has written the large values of the sealed group."""
        os.read(self._write_ended_at, 1)
        self.finish_write()
        group = self._accumulator.sealed
        assert group is not None
        try:
            if self._accumulator.group.skips_wait:
                # As in `_synced`.
                self.write_batch()
            self._after_write(group)
        finally:
            self._pending_work.end_now()
            if not self._accumulator.disk_behind:
                self._pending_work.resume_stalled()

    def _wait_for_store(self) -> bool:
        """In a write stall, schedule the end of a later turn and return true: nothing may be written now."""
        if self._finishing or not self._store.write_stalled():
            return False
        self._write_stall_timer.start(WRITE_STALL_SECONDS)
        return True

    def _wait_for_lease(self) -> bool:
        """If another node may own the log now, schedule the end of a later turn and return true: what is
        stored here may be out of date."""
        if self.syncer.may_read():
            return False
        self._write_stall_timer.start(WRITE_STALL_SECONDS)
        return True

    def write_batch(self) -> None:
        """Write to the store what the group has gathered so far. If that fails, those commands fail."""
        self.finish_write()
        group = self._accumulator.group
        batch = group.take_batch(self._store.new_batch)
        if batch is not None:
            self._write(group, batch)

    def finish_write(self) -> None:
        """Write the batch whose large values a thread writes, and nothing of the group that gathers. The
        sealed group is released in a turn of its own: the caller may be in the middle of a command."""
        if self._writing is None:
            return
        batch, self._writing = self._writing, None
        group = self._accumulator.sealed
        assert group is not None
        if not self._write(group, batch):
            # The changes of the next group follow from those that failed. The store refuses them too.
            self.write_batch()
        self._set_state(group, WRITTEN)

    def _write(self, group: CommitGroup, batch: Batch) -> bool:
        """Write a batch of the group, after those before it. If that fails, its commands fail."""
        try:
            self._store.write(batch)
        except StoreError as error:
            self._fail(group, error)
            return False
        group.mark_written()
        self.written_batches += 1
        if self._interval is not None:
            self._interval.note_write()
        return True

    def _synced(self, failure: StoreError | None) -> None:
        if self._closed:
            return  # a deposed owner has abandoned the group
        group = self._accumulator.sealed
        assert group is not None
        try:
            if failure is not None or self._accumulator.group.skips_wait:
                # What gathered during the fsync has to be stored, or to fail, first. A failed fsync sets
                # mailboxes back to what is stored. And a live push is skipped only if the deletion of its
                # message cannot fail any more.
                self.write_batch()
            if failure is None:
                self._release(group)
            else:
                self._set_state(group, FAILED)
                self._fail_whole(group, failure)
                self._accumulator.release(group)
        finally:
            self._pending_work.end_now()

    def _release(self, group: CommitGroup) -> None:
        self._set_state(group, RELEASED)
        if group.has_written:
            self._linger.note_release(group.reply_count, self._accumulator.group.reply_count)
        try:
            self._delivery.release(group)
        finally:
            self._accumulator.release(group)

    # Failures.

    def _fail(self, group: CommitGroup, error: StoreError, *, stored: bool = False) -> None:
        """Undo the changes of the group that the store has not written, and answer every command with an
        error. `stored`: the store has them all the same, and reads return them."""
        self.failed_batches += 1
        self.log_failure("a commit group could not be stored", error)
        self.healer.store_failed(error)
        self._refused.undo(group)
        for each in (group, self._accumulator.sealed):
            if each is not None:
                each.cancel_skips(group.unwritten_skips)
        group.forget_unwritten_skips()
        self._delivery.fail(group, CommandError("store_unavailable").reply(), stored)

    def _fail_whole(self, group: CommitGroup, error: StoreError) -> None:
        """The store wrote the group, but it may be gone when the store is opened again."""
        group.reset_written()
        self._fail(group, error, stored=True)

    def _abandon(self, error: StoreError) -> bool:
        """Fail the commands whose changes are written and not durable, before the store is opened again.

        Returns false while an fsync is under way, which fails the group itself.
        """
        if self._accumulator.sealed is not None:
            return False
        group = self._accumulator.group
        self.write_batch()
        if group.has_written:
            self._fail_whole(group, error)
        return True

    def _promised_sequence(self) -> int:
        """The sequence number up to which changes were acknowledged."""
        return self._store.synced_sequence if self._sync_each_group else self._store.written_sequence

    def _sync_failed(self, error: StoreError) -> None:
        self.log_failure("the fsync of the store's log failed", error)
        self.healer.store_failed(error)

    def log_failure(self, what: str, error: Exception) -> None:
        """Log what went wrong with the store, at most once in FAILURE_LOG_SECONDS."""
        now = time.monotonic()
        if now - self._failure_logged_at >= FAILURE_LOG_SECONDS:
            self._failure_logged_at = now
            log.error("%s: %s", what, error)

    # For housekeeping.

    def check(self) -> None:
        """Check the store: its files may be deleted, or its background work may have failed."""
        if not self.healer.failed:
            try:
                self._store.check()
            except StoreError as error:
                self.healer.store_failed(error)

    def flush_memtables(self) -> None:
        """Nothing was written for a while: have the store give back memory."""
        if not self.healer.failed:
            try:
                self._store.flush_memtables()
            except StoreError as error:
                self.log_failure("the store could not flush its memtables", error)

    # The end.

    async def finish(self) -> None:
        """Wait until everything accepted is durable and answered, then close. It writes even in a write
        stall."""
        self._finishing = True
        self._resume_timer.stop()
        self._pending_work.schedule_end()
        await asyncio.sleep(0)
        accumulator = self._accumulator
        while accumulator.sealed is not None or not accumulator.group.is_empty:  # noqa: ASYNC110 (rare)
            await asyncio.sleep(FINISH_POLL_SECONDS)
        self.close()
        try:
            self._store.sync()
        except StoreError as error:
            self.log_failure("the fsync of the store's log failed", error)

    def close(self) -> None:
        """Stop the thread and the timers, whatever is left to do."""
        self._closed = True
        self.healer.stop()
        for timer in (self._resume_timer, self._write_stall_timer, self._linger_timer):
            timer.stop()
        if self._interval is not None:
            self._interval.stop()
        if self._write_ended_at >= 0:
            self._loop.remove_reader(self._write_ended_at)
        self.syncer.stop()
