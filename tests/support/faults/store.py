"""Stores that do as a test says: RocksDB underneath, for a broker in the test's own process."""

import threading
from collections.abc import Iterator
from pathlib import Path

from mq9fast.errors import StoreError
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.store import Batch
from tests.support.waiting import WAIT_SECONDS


class Faults:
    """What goes wrong in the stores that `open` opens. Set from any thread.

    `rows_read`, `batches_written`: what the broker did since the test set them to 0.
    """

    def __init__(self) -> None:
        self.failing_writes = 0
        self.failing_syncs = 0
        self.write_stalled = False
        self.rows_read = 0
        self.batches_written = 0
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.store: FaultyStore | None = None

    def open(self, data_dir: Path, /, *, accept_loss: bool, max_files: int) -> "FaultyStore":
        """Open a store, as a Broker does."""
        self.store = FaultyStore(self, data_dir, accept_loss=accept_loss, max_files=max_files)
        return self.store


class FaultyStore(RocksStore):
    def __init__(self, faults: Faults, data_dir: Path, *, accept_loss: bool, max_files: int) -> None:
        self._faults = faults
        super().__init__(data_dir, accept_loss=accept_loss, max_files=max_files)

    def write(self, batch: Batch) -> None:
        if self._faults.failing_writes:
            self._faults.failing_writes -= 1
            raise StoreError("the disk took nothing")
        super().write(batch)
        self._faults.batches_written += 1

    def get(self, key: bytes) -> bytes | None:
        self._faults.rows_read += 1
        return super().get(key)

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._counted(super().scan(first, end))

    def scan_stored(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._counted(super().scan_stored(first, end))

    def scan_back(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._counted(super().scan_back(first, end))

    def _counted(self, pairs: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for pair in pairs:
            self._faults.rows_read += 1
            yield pair

    def begin_sync(self) -> bool:
        return False  # `sync` does as the test says

    def sync(self) -> None:
        fails = self._faults.failing_syncs > 0
        if fails:
            self._faults.failing_syncs -= 1
        else:
            super().sync()
        assert self._faults.may_sync.wait(WAIT_SECONDS)
        if fails:
            raise StoreError("the disk gave no reason")

    def write_stalled(self) -> bool:
        return self._faults.write_stalled or super().write_stalled()
