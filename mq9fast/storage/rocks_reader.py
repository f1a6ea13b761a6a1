"""What the stores on RocksDB have in common: reading, copies, compaction, and the sizes of things."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from rocksdict import CompactOptions, Rdict, ReadOptions

from mq9fast._core.storage.live_values import points_to
from mq9fast._core.storage.row_iterator import RowIterator
from mq9fast._core.storage.value_reader import ValueReader
from mq9fast.errors import ReadError, StoreError
from mq9fast.storage.checkpoint import checkpoint

# Smaller memtables are not worth a table of their own.
MIN_FLUSH_BYTES = 4 << 20
# About how much one call of compact_range compacts. A broker that stops waits for it to end.
COMPACTION_RANGE_BYTES = 128 << 20


class RocksReader:
    """Implements a part of the interface of `storage/store.py`.

    A subclass opens `_db` in the directory `_path`. `_reader` reads the value log; without one
    all values are in RocksDB.
    """

    _db: Rdict
    _path: Path

    def __init__(self) -> None:
        self.read_failed: Callable[[bytes, bytes, str], None] | None = None
        self._compaction_on = True
        self._reader: ValueReader | None = None

    def _complete(self) -> None:
        """Called before each read. A subclass completes a batch whose writing has begun."""

    def write_stalled(self) -> bool:
        try:
            return bool(self._db.property_int_value("rocksdb.is-write-stopped"))
        except Exception:
            # The next write reports the error.
            return False

    def flush_memtables(self) -> None:
        try:
            memtable_bytes = self._db.property_int_value("rocksdb.cur-size-all-mem-tables") or 0
            if memtable_bytes > MIN_FLUSH_BYTES:
                self._db.flush(False)
        except Exception as error:
            raise StoreError(str(error)) from error

    def table_bytes(self) -> int:
        try:
            return self._db.property_int_value("rocksdb.total-sst-files-size") or 0
        except Exception as error:
            raise StoreError(str(error)) from error

    def compact(self, stop: Callable[[], bool]) -> None:
        if not self._compaction_on:
            return
        db, options = self._db, CompactOptions()
        # Automatic compactions may run at the same time.
        options.set_exclusive_manual_compaction(False)
        try:
            db.flush(True)
            for first, end in _compaction_ranges(db):
                if stop():
                    return
                db.compact_range(first, end, options)
        except Exception as error:
            raise StoreError(str(error)) from error

    def checkpoint(self, target: Path) -> None:
        try:
            self._db.flush(True)
        except Exception as error:
            raise StoreError(str(error)) from error
        checkpoint(self._path, target)

    def get(self, key: bytes) -> bytes | None:
        value = self.get_stored(key)
        if self._reader is None:
            return value
        try:
            return self._reader.resolve(value)
        except Exception as error:
            raise self._unreadable(key, key + b"\0", error) from error

    def get_stored(self, key: bytes) -> bytes | None:
        self._complete()
        try:
            return cast("bytes | None", self._db.get(key))
        except Exception as error:
            raise self._unreadable(key, key + b"\0", error) from error

    def points_to(self, key: bytes, segment: int, offset: int) -> bool:
        return points_to(self.get_stored(key), segment, offset)

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._complete()
        return self._iterate(self._db, first, end, self._reader)

    def scan_stored(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._complete()
        return self._iterate(self._db, first, end, values=None)

    def _iterate(
        self, db: Rdict, first: bytes, end: bytes, values: ValueReader | None
    ) -> Iterator[tuple[bytes, bytes]]:
        # DANGER: the iterator points into `options` but does not keep them alive; RowIterator does.
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        try:
            iterator = db.iter(options)
            iterator.seek(first)
        except Exception as error:
            raise self._unreadable(first, end, error) from error
        return RowIterator(iterator, options, first, end, self._unreadable, values)

    def scan_back(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        # rocksdict cannot set a lower bound. An iterator that went on below the first pair might have to pass
        # any number of deleted keys.
        lowest = next(self.scan_stored(first, end), None)
        if lowest is None:
            return iter(())
        first = lowest[0]
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        try:
            iterator = self._db.iter(options)
            iterator.seek_to_last()
        except Exception as error:
            raise self._unreadable(first, end, error) from error
        return RowIterator(iterator, options, first, end, self._unreadable, self._reader, True)

    def _unreadable(self, first: bytes, end: bytes, error: Exception) -> ReadError:
        """Report a failed read of the keys from `first` up to `end`. Returns the error to raise."""
        if self.read_failed is not None:
            self.read_failed(first, end, str(error))
        return ReadError(str(error))


def _compaction_ranges(db: Rdict) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Key ranges that cover all keys. In each, tables of about COMPACTION_RANGE_BYTES begin."""
    first: bytes | None = None
    range_bytes = 0
    for table in sorted(db.live_files(), key=lambda table: cast(bytes, table["start_key"])):
        start = cast(bytes, table["start_key"])
        if range_bytes >= COMPACTION_RANGE_BYTES and start != first:
            yield first, start
            first, range_bytes = start, 0
        range_bytes += cast(int, table["size"])
    yield first, None
