"""What the stores on RocksDB have in common besides reading: they stop writes at the first failure of one."""

from typing import cast

from rocksdict import WriteBatch, WriteOptions

from mq9fast.errors import StoreError
from mq9fast.storage.presence import Presence, probe
from mq9fast.storage.rocks_reader import RocksReader
from mq9fast.storage.store import Batch

# RocksDB's text for a full disk.
DISK_FULL = "No space left on device"


class RocksWriter(RocksReader):
    """Implements a part of the interface of `storage/store.py`: writing, and what follows a failure of it.

    A subclass opens `_db`, sets `_presence`, and calls `_fail` for each failure of its own calls.
    """

    _presence: Presence
    written_sequence: int
    synced_sequence: int

    def __init__(self) -> None:
        super().__init__()
        self._failure = ""
        self._recovers = False
        self._write_options = WriteOptions()

    def begin_compacting(self) -> None:
        try:
            self._db.set_options({"disable_auto_compactions": "false"})
        except Exception as error:
            self._fail(error)

    def check(self) -> None:
        self._check()
        try:
            self._presence.check()
            if self._db.property_int_value("rocksdb.background-errors"):
                # Unless RocksDB has recovered, an empty write raises the background error.
                self._write_nothing()
        except Exception as error:
            raise self._fail(error) from error

    def refuse(self, error: StoreError) -> None:
        if not self._failure:
            self._failure, self._recovers = str(error), False

    def probe(self) -> None:
        self._presence.check()
        probe(self._path)

    def resume(self) -> None:
        self._failure = ""
        self.written_sequence = self.synced_sequence = self._db.latest_sequence_number()

    def _check(self) -> None:
        if self._failure:
            raise StoreError(self._failure)

    def _write_rows(self, rows: Batch) -> None:
        self._db.write(cast(WriteBatch, rows), self._write_options)

    def _write_nothing(self) -> None:
        self._db.write(WriteBatch(True), self._write_options)

    def _fail(self, error: Exception, *, recovers: bool = False) -> StoreError:
        """Stop writes: it is unknown whether the failed one took effect. Returns the error to raise.

        `recovers`: RocksDB may accept writes again by itself.
        """
        # Another thread may have failed just before, for another reason.
        self._recovers = recovers and (self._recovers or not self._failure)
        self._failure = str(error) or type(error).__name__
        return StoreError(self._failure)

    def _fail_write(self, error: Exception) -> StoreError:
        """As `_fail`, for a write: after a full disk RocksDB goes on by itself once there is space."""
        return self._fail(error, recovers=DISK_FULL in str(error))

    def _close_database(self) -> None:
        try:
            self._db.close()
        except Exception as error:
            raise StoreError(str(error)) from error
