"""Syncs the store for `sync = "interval"`: every `sync_interval` seconds if anything was written.

`commit/pipeline.py` creates it; they run in another thread.
"""

from collections.abc import Callable

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast.commit.syncer import Syncer
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.periodic import Periodic, Step
from mq9fast.storage.store import Values

# While more large values than this are not synced, clients that send large messages are stalled. The system
# would take more and more of them, until its memory for them is full: then each write waits for the disk.
MAX_UNSYNCED_BYTES = 1 << 30


class IntervalSync:
    """Runs in the running event loop until `stop`. `failed(error)` is called if an fsync fails."""

    def __init__(
        self,
        seconds: float,
        syncer: Syncer,
        accumulator: Accumulator,
        values: Values,
        failed: Callable[[StoreError], None],
        health: Health,
    ) -> None:
        self._syncer = syncer
        self._accumulator = accumulator
        self._values = values
        self._failed = failed
        self._unsynced = False
        self._syncing = False
        self._periodic = Periodic(seconds, Step("the interval sync", self._sync, health))

    def note_write(self) -> None:
        """Note that a batch was written since the last sync."""
        self._unsynced = True
        self.check()

    def check(self) -> None:
        """Find out whether the disk is behind."""
        unsynced = self._values.unsynced_bytes()
        if unsynced > MAX_UNSYNCED_BYTES // 2:
            self._sync()
        self._accumulator.disk_behind = unsynced > MAX_UNSYNCED_BYTES

    def _sync(self) -> None:
        if self._unsynced and not self._syncing:
            self._unsynced = False
            self._syncing = True
            self._syncer.request(self._synced)

    def _synced(self, failure: StoreError | None) -> None:
        self._syncing = False
        if failure is not None:
            self._unsynced = True
            self._failed(failure)

    def stop(self) -> None:
        """Stop: start no more syncs."""
        self._periodic.stop()
