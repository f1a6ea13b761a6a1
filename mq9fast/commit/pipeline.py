"""Turns in their order: gathered, written, made durable, released.

Whatever came in during one turn of the event loop is one write batch. Under `always` the fsync of a turn runs
in a thread while the next turn gathers, for as long as the fsync takes: so a busy disk makes turns larger,
not more. Under `interval` and `never` a turn is released as soon as it is written.
"""

import asyncio
import logging
import time
from functools import partial

from mq9fast._core.commit.commit_group import CommitGroup
from mq9fast._core.engine import Engine
from mq9fast.commit.healing import Healer
from mq9fast.commit.read_retry import ReadRetry
from mq9fast.commit.refused import RefusedMessages
from mq9fast.commit.syncer import Syncer
from mq9fast.errors import UNREADABLE, CommandError, StoreError
from mq9fast.event_loop import ready_descriptor
from mq9fast.health import Health
from mq9fast.periodic import FAILURE_LOG_SECONDS, Periodic, Step
from mq9fast.storage.layout import mailbox_key
from mq9fast.storage.store import Store
from mq9fast.timer import Timer

log = logging.getLogger("mq9fast.pipeline")

# A turn that waits for an fsync is written in parts of this size meanwhile.
EARLY_WRITE_BYTES = 1 << 20
# How long senders are stopped who outrun the store or their receivers, and how long a store that catches up
# with itself is left alone.
STALL_SECONDS = 0.01
BUSY_SECONDS = 0.005
# A turn of no more than this is used again: its room is nothing to give back.
SPARE_BYTES = 1 << 20
# How often it is looked whether all is durable, by a broker that stops.
FINISHED_SECONDS = 0.001


class CommitPipeline:
    """Ends the turns of one broker."""

    def __init__(
        self,
        engine: Engine,
        refused: RefusedMessages,
        store: Store,
        reading: ReadRetry,
        health: Health,
        *,
        sync: str,
        sync_interval: float,
        stall_bytes: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = engine
        self._mailbox_writer = engine.mailbox_writer
        self._delivery = engine.delivery
        self._refused = refused
        self._store = store
        self._reading = reading
        self._sync_each_turn = sync == "always"
        self._stall_bytes = stall_bytes
        self.syncer = Syncer(self._loop, store)
        self.healer = Healer(
            engine,
            store,
            self.syncer,
            refused,
            health,
            abandon=self._abandon,
            least=lambda: store.synced_sequence if self._sync_each_turn else store.written_sequence,
        )
        self._syncing: CommitGroup | None = None
        self._spare: CommitGroup | None = None
        self._stall_timer = Timer(self._resume_stalled)
        self._busy_timer = Timer(engine.pending_work.schedule_end)
        self._closed = False
        self._failure_logged_at = 0.0
        self.written_batches = 0
        self.failed_batches = 0
        self._unsynced = False
        self._interval_syncing = False
        self._interval: Periodic | None = None
        engine.pending_work.wake = self._wake
        engine.commit = self._commit
        engine.stalled = partial(self._stall_timer.start, STALL_SECONDS)
        engine.ready_descriptor = ready_descriptor(self._loop)
        engine.poll_soon = partial(self._loop.call_soon, engine.busy_poll)
        engine.failed = self._failed
        self._mailbox_writer.write_out = self._write_out
        if sync == "interval":
            self._interval = Periodic(sync_interval, Step("the interval sync", self._sync_interval, health))

    # The end of a turn.

    def _wake(self) -> None:
        self._engine.update_clock()
        self._loop.call_soon(self._engine.end_turn)

    def _commit(self) -> None:
        if self._closed:
            return
        self._advance()
        if self._delivery.has_catch_up:
            self._pump()

    def _failed(self, error: Exception) -> None:
        """A turn that ended with a read failed, through no fault of the connection that was read."""
        self._loop.call_exception_handler({"message": "a turn failed", "exception": error})

    def _resume_stalled(self) -> None:
        if self._mailbox_writer.commit_group.bytes > self._stall_bytes:
            self._stall_timer.start(STALL_SECONDS)
        else:
            self._engine.pending_work.resume_stalled()

    def _pump(self) -> None:
        """Read for those who fell behind. What was deleted is written first, so that it is not read."""
        if self._must_wait():
            return
        self._write_out()
        try:
            self._delivery.catch_up(self._store)
        except UNREADABLE as error:
            self._reading.failed(error)

    # Commit.

    def _advance(self) -> None:
        """Take the gathered turn as far as it can go now."""
        commit_group = self._mailbox_writer.commit_group
        if commit_group.empty:
            return
        if self._syncing is not None:
            if commit_group.batch_bytes > EARLY_WRITE_BYTES and not self._store.write_stalled():
                self._write_out()
            return
        if self._must_wait():
            return
        self._write_out()
        if commit_group.has_written and self._sync_each_turn:
            self._begin_sync()
        else:
            self._release(self._next_turn())

    def _must_wait(self) -> bool:
        """Whether the store has to catch up with itself first; then the end of the turn comes again soon."""
        if self._engine.finishing or not self._store.write_stalled():
            return False
        self._busy_timer.start(BUSY_SECONDS)
        return True

    def _next_turn(self) -> CommitGroup:
        """Begin another turn; returns the one so far, whose batch was written: the next has its empty one."""
        batch, successor, self._spare = self._mailbox_writer.commit_group.batch, self._spare, None
        if successor is None:
            successor = CommitGroup(batch)
        else:
            successor.renew(batch)
        return self._mailbox_writer.next_group(successor)

    def _release(self, commit_group: CommitGroup) -> None:
        self._delivery.release(commit_group)
        if commit_group.bytes < SPARE_BYTES:
            commit_group.clear()
            self._spare = commit_group

    def _write_out(self) -> None:
        """Have the store take what the turn gathered; what it does not take has failed."""
        commit_group = self._mailbox_writer.commit_group
        batch = commit_group.take_batch(mailbox_key, self._store.new_batch)
        if batch is None:
            return
        try:
            self._store.write(batch)
        except StoreError as error:
            self._fail(commit_group, error)
        else:
            commit_group.written()
            self.written_batches += 1
            self._unsynced = True

    def _begin_sync(self) -> None:
        self._syncing = self._mailbox_writer.unreleased = self._next_turn()
        self.syncer.request(self._synced)

    def _synced(self, failure: StoreError | None) -> None:
        commit_group, self._syncing = self._syncing, None
        assert commit_group is not None
        try:
            if failure is not None or self._mailbox_writer.commit_group.retracting:
                # Mailboxes go back to what is stored, and nobody is to miss a message that is not deleted
                # after all: so what was gathered meanwhile has to be stored, or fail, before.
                self._write_out()
            self._mailbox_writer.unreleased = None
            if failure is None:
                self._release(commit_group)
            else:
                commit_group.not_written()
                self._fail(commit_group, failure, stored=True)
        finally:
            self._engine.end_turn()

    def _fail(self, commit_group: CommitGroup, error: StoreError, *, stored: bool = False) -> None:
        """The turn's last batch is promised to nobody: take it back, and say so to all who wait for it.
        `stored`: the store has it all the same, and goes by it."""
        self.failed_batches += 1
        self.log_failure("a turn could not be stored", error)
        self.healer.note(error)
        self._refused.take_back(commit_group)
        for each in (commit_group, self._mailbox_writer.unreleased):
            if each is not None:
                each.read_again(commit_group.retracting)
        commit_group.retracting.clear()
        self._delivery.fail(commit_group, CommandError("store_unavailable").reply(), stored)

    def _abandon(self, error: StoreError) -> bool:
        """Fail what was written and is not durable: it may be gone when the store is opened again. Returns
        whether that is done; not while an fsync is under way."""
        if self._syncing is not None:
            return False
        commit_group = self._mailbox_writer.commit_group
        self._write_out()
        if commit_group.has_written:
            commit_group.not_written()
            self._fail(commit_group, error, stored=True)
        return True

    def check(self) -> None:
        """Look after the store: its files may be deleted, or its work in the background may have failed."""
        if not self.healer.failed:
            try:
                self._store.check()
            except StoreError as error:
                self.healer.note(error)

    def log_failure(self, what: str, error: Exception) -> None:
        """Log what went wrong with the store, but not all the time."""
        now = time.monotonic()
        if now - self._failure_logged_at > FAILURE_LOG_SECONDS or not self._failure_logged_at:
            self._failure_logged_at = now
            log.error("%s: %s", what, error)

    def flush_memtables(self) -> None:
        """Nothing was written for a while: have the store give back memory, if it is well."""
        if not self.healer.failed:
            try:
                self._store.flush_memtables()
            except StoreError as error:
                self.log_failure("the store could not give back memory", error)

    # Syncs of `interval`.

    def _sync_interval(self) -> None:
        if self._unsynced and not self._interval_syncing:
            self._unsynced = False
            self._interval_syncing = True
            self.syncer.request(self._interval_synced)

    def _interval_synced(self, failure: StoreError | None) -> None:
        self._interval_syncing = False
        if failure is not None:
            self._unsynced = True
            self.log_failure("the log could not be made durable", failure)
            self.healer.note(failure)

    # The end.

    async def finish(self) -> None:
        """Wait until everything accepted is durable and answered, and stop the thread. Nobody who was told to
        stop sending is let go on, and a store that is busy is waited for."""
        self._engine.finishing = True
        self._stall_timer.stop()
        self._engine.pending_work.schedule_end()
        await asyncio.sleep(0)
        while self._syncing is not None or not self._mailbox_writer.commit_group.empty:  # noqa: ASYNC110 (rare, unlike turns)
            await asyncio.sleep(FINISHED_SECONDS)
        self.close()
        try:
            self._store.sync()
        except StoreError as error:
            self.log_failure("the log could not be made durable", error)

    def close(self) -> None:
        """Stop the thread and the timers, whatever is left to do."""
        self._engine.finishing = self._closed = True
        self.healer.stop()
        for timer in (self._stall_timer, self._busy_timer):
            timer.stop()
        if self._interval is not None:
            self._interval.stop()
        self.syncer.stop()
