"""Syncs the store for `sync = "interval"`: every `sync_interval` seconds if anything was written.

`commit/pipeline.py` creates it; they run in another thread.
"""

from collections.abc import Callable

from mq9fast.commit.syncer import Syncer
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.periodic import Periodic, Step


class IntervalSync:
    """Runs in the running event loop until `stop`. `failed(error)` is called if an fsync fails."""

    def __init__(
        self, seconds: float, syncer: Syncer, failed: Callable[[StoreError], None], health: Health
    ) -> None:
        self._syncer = syncer
        self._failed = failed
        self._unsynced = False
        self._syncing = False
        self._periodic = Periodic(seconds, Step("the interval sync", self._sync, health))

    def note_write(self) -> None:
        """Note that a batch was written since the last sync."""
        self._unsynced = True

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
