"""Turns in their order: gathered, written, made durable, released.

Whatever came in during one turn of the event loop is one write batch. Under `always` the fsync of a turn runs
in a thread while the next turn gathers, for as long as the fsync takes: so a busy disk makes turns larger,
not more. Under `interval` and `never` a turn is released as soon as it is written.
"""

import asyncio
import logging
import time
from functools import partial

from mq9fast._core.commit.commit_group import Turn
from mq9fast._core.engine import Core
from mq9fast.commit.healing import Healer
from mq9fast.commit.read_retry import Reading
from mq9fast.commit.refused import Refused
from mq9fast.commit.syncer import Syncer
from mq9fast.errors import UNREADABLE, CommandError, StoreError
from mq9fast.event_loop import ready_descriptor
from mq9fast.health import Health
from mq9fast.periodic import COMPLAINT_SECONDS, Periodic, Step
from mq9fast.storage.layout import mailbox_key
from mq9fast.storage.store import Store
from mq9fast.timer import Timer

log = logging.getLogger("mq9fast.committer")

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


class Committer:
    """Ends the turns of one broker."""

    def __init__(
        self,
        core: Core,
        refused: Refused,
        store: Store,
        reading: Reading,
        health: Health,
        *,
        sync: str,
        sync_interval: float,
        stall_bytes: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = core
        self._intake = core.intake
        self._delivery = core.delivery
        self._refused = refused
        self._store = store
        self._reading = reading
        self._sync_each_turn = sync == "always"
        self._stall_bytes = stall_bytes
        self.syncer = Syncer(self._loop, store)
        self.healer = Healer(
            core,
            store,
            self.syncer,
            refused,
            health,
            abandon=self._abandon,
            least=lambda: store.synced_sequence if self._sync_each_turn else store.written_sequence,
        )
        self._syncing: Turn | None = None
        self._spare: Turn | None = None
        self._stall_timer = Timer(self._resume_stalled)
        self._busy_timer = Timer(core.agenda.ask)
        self._closed = False
        self._complained = 0.0
        self.written_batches = 0
        self.failed_batches = 0
        self._unsynced = False
        self._interval_syncing = False
        self._interval: Periodic | None = None
        core.agenda.wake = self._wake
        core.commit = self._commit
        core.stalled = partial(self._stall_timer.start, STALL_SECONDS)
        core.ready_descriptor = ready_descriptor(self._loop)
        core.poll_soon = partial(self._loop.call_soon, core.busy_poll)
        core.failed = self._failed
        self._intake.write_out = self._write_out
        if sync == "interval":
            self._interval = Periodic(sync_interval, Step("the interval sync", self._sync_interval, health))

    # The end of a turn.

    def _wake(self) -> None:
        self._core.tell_time()
        self._loop.call_soon(self._core.end_turn)

    def _commit(self) -> None:
        if self._closed:
            return
        self._advance()
        if self._delivery.has_waiting:
            self._pump()

    def _failed(self, error: Exception) -> None:
        """A turn that ended with a read failed, through no fault of the connection that was read."""
        self._loop.call_exception_handler({"message": "a turn failed", "exception": error})

    def _resume_stalled(self) -> None:
        if self._intake.turn.bytes > self._stall_bytes:
            self._stall_timer.start(STALL_SECONDS)
        else:
            self._core.agenda.resume_stalled()

    def _pump(self) -> None:
        """Read for those who fell behind. What was deleted is written first, so that it is not read."""
        if self._must_wait():
            return
        self._write_out()
        try:
            self._delivery.pump(self._store)
        except UNREADABLE as error:
            self._reading.failed(error)

    # Commit.

    def _advance(self) -> None:
        """Take the gathered turn as far as it can go now."""
        turn = self._intake.turn
        if turn.empty:
            return
        if self._syncing is not None:
            if turn.batch_bytes > EARLY_WRITE_BYTES and not self._store.busy():
                self._write_out()
            return
        if self._must_wait():
            return
        self._write_out()
        if turn.has_written and self._sync_each_turn:
            self._begin_sync()
        else:
            self._release(self._next_turn())

    def _must_wait(self) -> bool:
        """Whether the store has to catch up with itself first; then the end of the turn comes again soon."""
        if self._core.finishing or not self._store.busy():
            return False
        self._busy_timer.start(BUSY_SECONDS)
        return True

    def _next_turn(self) -> Turn:
        """Begin another turn; returns the one so far, whose batch was written: the next has its empty one."""
        batch, successor, self._spare = self._intake.turn.batch, self._spare, None
        if successor is None:
            successor = Turn(batch)
        else:
            successor.renew(batch)
        return self._intake.next_turn(successor)

    def _release(self, turn: Turn) -> None:
        self._delivery.release(turn)
        if turn.bytes < SPARE_BYTES:
            turn.clear()
            self._spare = turn

    def _write_out(self) -> None:
        """Have the store take what the turn gathered; what it does not take has failed."""
        turn = self._intake.turn
        batch = turn.take_batch(mailbox_key, self._store.new_batch)
        if batch is None:
            return
        try:
            self._store.write(batch)
        except StoreError as error:
            self._fail(turn, error)
        else:
            turn.written()
            self.written_batches += 1
            self._unsynced = True

    def _begin_sync(self) -> None:
        self._syncing = self._intake.unreleased = self._next_turn()
        self.syncer.request(self._synced)

    def _synced(self, failure: StoreError | None) -> None:
        turn, self._syncing = self._syncing, None
        assert turn is not None
        try:
            if failure is not None or self._intake.turn.retracting:
                # Mailboxes go back to what is stored, and nobody is to miss a message that is not deleted
                # after all: so what was gathered meanwhile has to be stored, or fail, before.
                self._write_out()
            self._intake.unreleased = None
            if failure is None:
                self._release(turn)
            else:
                turn.not_written()
                self._fail(turn, failure, stored=True)
        finally:
            self._core.end_turn()

    def _fail(self, turn: Turn, error: StoreError, *, stored: bool = False) -> None:
        """The turn's last batch is promised to nobody: take it back, and say so to all who wait for it.
        `stored`: the store has it all the same, and goes by it."""
        self.failed_batches += 1
        self.complain("a turn could not be stored", error)
        self.healer.note(error)
        self._refused.take_back(turn)
        for each in (turn, self._intake.unreleased):
            if each is not None:
                each.read_again(turn.retracting)
        turn.retracting.clear()
        self._delivery.fail(turn, CommandError("store_unavailable").reply(), stored)

    def _abandon(self, error: StoreError) -> bool:
        """Fail what was written and is not durable: it may be gone when the store is opened again. Returns
        whether that is done; not while an fsync is under way."""
        if self._syncing is not None:
            return False
        turn = self._intake.turn
        self._write_out()
        if turn.has_written:
            turn.not_written()
            self._fail(turn, error, stored=True)
        return True

    def look(self) -> None:
        """Look after the store: its files may be deleted, or its work in the background may have failed."""
        if not self.healer.failed:
            try:
                self._store.look()
            except StoreError as error:
                self.healer.note(error)

    def complain(self, what: str, error: Exception) -> None:
        """Log what went wrong with the store, but not all the time."""
        now = time.monotonic()
        if now - self._complained > COMPLAINT_SECONDS or not self._complained:
            self._complained = now
            log.error("%s: %s", what, error)

    def rest(self) -> None:
        """Nothing was written for a while: have the store give back memory, if it is well."""
        if not self.healer.failed:
            try:
                self._store.rest()
            except StoreError as error:
                self.complain("the store could not give back memory", error)

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
            self.complain("the log could not be made durable", failure)
            self.healer.note(failure)

    # The end.

    async def finish(self) -> None:
        """Wait until everything accepted is durable and answered, and stop the thread. Nobody who was told to
        stop sending is let go on, and a store that is busy is waited for."""
        self._core.finishing = True
        self._stall_timer.stop()
        self._core.agenda.ask()
        await asyncio.sleep(0)
        while self._syncing is not None or not self._intake.turn.empty:  # noqa: ASYNC110 (rare, unlike turns)
            await asyncio.sleep(FINISHED_SECONDS)
        self.close()
        try:
            self._store.sync()
        except StoreError as error:
            self.complain("the log could not be made durable", error)

    def close(self) -> None:
        """Stop the thread and the timers, whatever is left to do."""
        self._core.finishing = self._closed = True
        self.healer.stop()
        for timer in (self._stall_timer, self._busy_timer):
            timer.stop()
        if self._interval is not None:
            self._interval.stop()
        self.syncer.stop()
