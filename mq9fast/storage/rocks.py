"""The store on RocksDB: implements the interface of `storage/store.py`.

`server/broker.py` creates one `RocksStore` for its data directory. All files in that directory are its own,
except `mq9fast.clock`. rocksdict raises bare Exception; the methods here turn that into StoreError.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, cast

from rocksdict import Rdict, WriteBatch

from mq9fast._core.storage.value_batch import ValueBatch
from mq9fast.errors import StartError, StoreError, bad_file_error
from mq9fast.storage import layout
from mq9fast.storage.broker_state import BrokerState, StateWriter, boot_id
from mq9fast.storage.data_directory import DataDirectory, missing_changes, prepare_reopen
from mq9fast.storage.directory_checks import make_directory
from mq9fast.storage.manifest import read_manifest
from mq9fast.storage.parallel_sync import ParallelSync
from mq9fast.storage.presence import Presence
from mq9fast.storage.replay import replay
from mq9fast.storage.rocks_database import describe_open_error, open_database, read_format_version
from mq9fast.storage.rocks_writer import RocksWriter
from mq9fast.storage.segment import segment_name
from mq9fast.storage.store import Batch
from mq9fast.storage.value_log import ValueLog
from mq9fast.storage.value_recovery import drop_lost_rows

log = logging.getLogger("mq9fast.store")

# Fewer bytes are written to the value log before another thread has woken up.
MIN_THREAD_BYTES = 128 << 10


class RocksStore(RocksWriter):
    """The database in one data directory, opened by one process. `path` is created if it is missing.

    Raises StartError if the directory cannot be used, if another broker uses it, or if acknowledged changes
    are lost and `accept_loss` is false. `max_files`: how many tables may be open, -1 for all. `lost`: how
    many acknowledged changes are lost. `id_epoch`: see Store.
    """

    def __init__(self, path: Path, *, accept_loss: bool = False, max_files: int = -1) -> None:
        super().__init__()
        self._path = path
        self._max_files = max_files
        self._old: Rdict | None = None
        self._new: Rdict | None = None
        self._new_segments: list[int] = []
        self._state_writer: StateWriter | None = None
        self._begun: Batch | None = None
        self._completed: Batch | None = None
        self._completion_error: StoreError | None = None
        self.values = ValueLog(path, max_files)
        self._reader = self.values.reader
        self._parallel_sync = ParallelSync(path, self.values)
        self._begun_sequence = 0
        self._directory = DataDirectory(path, accept_loss=accept_loss)
        self.id_epoch = self.lost = 0
        try:
            make_directory(path)
            self._directory.examine(read_format_version, self.values.reader)
            self._directory.prepare()
            self._db = open_database(path, max_files, create=self._directory.create, compact=False)
            if layout.check_version(self, path) >= layout.FIRST_FORMAT_WITH_VALUE_LOG:
                self._open_values(accept_loss=accept_loss)
            self._presence = Presence(path)
        except Exception as error:  # rocksdict raises bare Exception
            self._directory.close()
            if isinstance(error, StartError):
                raise
            raise StartError(describe_open_error(path, error)) from error
        self.lost += self._directory.lost
        self.written_sequence = self.synced_sequence = self._db.latest_sequence_number()

    def _open_values(self, *, accept_loss: bool) -> None:
        """Open the value log, and drop rows whose values are lost. StartError if a segment is missing."""
        self.values.open(self._segments(self._db), sync=not self._directory.was_clean)
        missing = self.values.missing
        if missing and not accept_loss:
            self._db.close()
            raise bad_file_error(self._path, segment_name(missing[0]), "is missing")
        self.values.delete_leftovers()
        if not missing and not self._directory.unsynced_tables:
            return
        dropped = self._drop_lost_rows(self._db)
        if missing:
            batch = WriteBatch(True)
            for number in missing:
                batch.delete(layout.segment_key(number))
            self._db.write(batch)
            self.lost += dropped
            log.error("%d acknowledged messages are lost: files of their values are missing", dropped)
        elif dropped:
            log.warning("%d messages that were not durable are lost with their values", dropped)

    def _drop_lost_rows(self, db: Rdict) -> int:
        """Drop the rows whose values are lost. Returns how many messages they had."""

        def scan_stored(first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
            return self._iterate(db, first, end, values=None)

        batch = WriteBatch(True)
        dropped = drop_lost_rows(scan_stored, self.values.reader.is_readable, batch)
        db.write(batch)
        return dropped

    def _segments(self, db: Rdict) -> list[int]:
        """The segments of the value log that a database has rows for."""
        end = layout.prefix_end(layout.SEGMENTS)
        rows = self._iterate(db, layout.SEGMENTS, end, values=None)
        return [int.from_bytes(key[1:], "big") for key, _ in rows]

    def begin(self, sync: str) -> None:
        """Record, in the store and in the state file, that a broker starts to serve with the setting `sync`.

        Raises StoreError. The broker must acknowledge nothing before this returns.
        """
        state = self._directory.state or BrokerState()
        id_epoch = max(state.id_epoch, layout.stored_id_epoch(self)) + self._directory.new_id_epoch
        self.id_epoch = min(id_epoch, layout.MAX_ID_EPOCH)
        batch = self.new_batch()
        # The random bytes make the first record of the log, and so its checksum, differ from other stores'.
        batch.put(layout.ID_EPOCH_KEY, layout.number(self.id_epoch) + os.urandom(8))
        self.write(batch)
        self.sync()
        state.served, state.clean, state.sync, state.id_epoch = True, False, sync, self.id_epoch
        state.boot_id = boot_id()
        state.acknowledged = state.synced = self.synced_sequence
        try:
            state.store_id = read_manifest(self._path).store_id
        except OSError as error:
            raise StoreError(
                f"the MANIFEST in the data directory {self._path} cannot be read: {error.strerror}"
            ) from error
        assert self._directory.file is not None
        writer = StateWriter(self._directory.file, state)
        writer.read_log_files(self._path)
        writer.begin()
        self._state_writer = writer

    def new_batch(self) -> ValueBatch:
        # True is raw mode. A keyword argument would double the cost.
        return ValueBatch(WriteBatch(True))

    def begin_write(self, batch: Batch) -> bool:
        self._check()
        assert isinstance(batch, ValueBatch)
        if batch.record_bytes < MIN_THREAD_BYTES or not self.values.has_thread():
            return False
        try:
            self.values.begin(batch)
        except Exception as error:
            raise self._fail_write(error) from error
        self._begun = batch
        return True

    def _complete(self) -> None:
        """Complete the batch that a thread writes. If that fails, `write` of that batch raises the error."""
        batch, self._begun = self._begun, None
        if batch is None:
            return
        self._completed, self._completion_error = batch, None
        try:
            self._write(batch)
        except StoreError as error:
            self._completion_error = error

    @property
    def write_ended(self) -> int:
        return self.values.write_ended

    def write(self, batch: Batch) -> None:
        self._complete()
        if batch is not self._completed:
            self._write(batch)
            return
        error, self._completed = self._completion_error, None
        if error is not None:
            raise error

    def _write(self, batch: Batch) -> None:
        assert isinstance(batch, ValueBatch)
        self.values.wait()
        self._check()
        try:
            if batch.large:
                self.values.append(batch)
            self._write_rows(batch.rows)
            self._parallel_sync.note_write()
            if batch.has_values:
                self.values.note_written()
            self.written_sequence = self._db.latest_sequence_number()
            if self._state_writer is not None:
                self._state_writer.record_write(self.written_sequence)
        except Exception as error:
            raise self._fail_write(error) from error

    @property
    def sync_ended(self) -> int:
        return self._parallel_sync.ended

    def begin_sync(self) -> bool:
        writer = self._state_writer
        if self._failure or writer is None or writer.is_due or not self._parallel_sync.begin():
            return False
        self._begun_sequence = self.written_sequence
        return True

    def finish_sync(self) -> bool:
        try:
            self._parallel_sync.finish()
            if not self._presence.check_quickly():
                return False
            assert self._state_writer is not None
            self._state_writer.note_sync(self._begun_sequence)
        except Exception as error:
            raise self._fail(error) from error
        self.synced_sequence = self._begun_sequence
        return True

    def sync(self) -> None:
        self._check()
        sequence = self.written_sequence
        try:
            self.values.sync()
            self._db.flush_wal(True)
            self._presence.check()
            if self._state_writer is not None:
                self._state_writer.record_sync(sequence, self._path)
        except Exception as error:
            raise self._fail(error) from error
        self.synced_sequence = sequence

    # Recovery from a failure; see mq9fast/commit/healing.py.

    def has_recovered(self) -> bool:
        if not self._recovers:
            return False
        try:
            self._write_nothing()
            self.values.sync()
            self._db.flush_wal(True)
        except Exception:
            self._recovers = False
        return self._recovers

    def detach(self) -> None:
        if not isinstance(self._db, _Closed):
            self._old, self._db = self._db, cast(Rdict, _Closed())

    def reopen(self, min_sequence: int, *, compact: bool) -> None:
        if self._old is not None:
            # Closing may fail to flush the memtables. Nothing is lost: their content is in the log.
            with contextlib.suppress(Exception):
                self._old.close()
            self._old = None
        try:
            self._presence.check()
            self.values.rewrite()
            lost = self.values.lost
            if lost and min_sequence > self.synced_sequence:
                raise StoreError("values that were not durable are lost after a failed fsync")
            is_readable = self.values.reader.is_readable if lost else None
            prepare_reopen(self._path, min_sequence, is_readable, self.synced_sequence)
            replay(self._path, self._max_files, compact=compact)
            # rocksdict would create a missing directory: check again right before it opens one.
            self._presence.check()
            new = open_database(self._path, self._max_files, create=False, compact=compact)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"the store cannot be reopened: {error}") from error
        missing = min_sequence - new.latest_sequence_number()
        if missing > 0:
            new.close()
            raise missing_changes(self._path, missing)
        try:
            if lost:
                self._drop_lost_rows(new)
            self._new_segments = self._segments(new)
        except Exception:
            new.close()
            raise
        self._new, self._compaction_on = new, compact

    def attach(self) -> None:
        assert self._new is not None
        # Here, because the event loop reads values with the descriptors that this closes.
        self.values.reopened(self._new_segments)
        self._parallel_sync.reopened()
        self._db, self._new = self._new, None

    def close(self) -> None:
        try:
            if self._state_writer is not None:
                self.sync()
                self._state_writer.record_clean_stop(self._path)
        finally:
            self._close()

    def _close(self) -> None:
        self._presence.close()
        self._parallel_sync.close()
        self.values.close()
        if self._new is not None:
            self.attach()
        elif self._old is not None:
            self._db, self._old = self._old, None
        try:
            self._close_database()
        finally:
            self._directory.close()


class _Closed:
    """Takes the place of a database while the store is reopened."""

    def __getattr__(self, _name: str) -> NoReturn:
        raise StoreError("the store is being reopened")
