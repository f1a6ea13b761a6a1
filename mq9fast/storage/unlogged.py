"""The part of a store on RocksDB without a write-ahead log of its own: a replicated log takes its place.

After a kill the store is what RocksDB had flushed: everything up to some batch, and nothing of later ones.
`cluster/replicated_store.py` adds the position in the replicated log to each batch, and reads on from there.
Large values are in RocksDB like small ones.
"""

import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, cast

from rocksdict import Checkpoint, WriteBatch

from mq9fast.errors import ReadError, StartError, StoreError
from mq9fast.storage.directory_checks import REPLICA_FILE, file_names, in_use, make_directory
from mq9fast.storage.presence import Presence
from mq9fast.storage.rocks_database import describe_open_error, open_database
from mq9fast.storage.rocks_writer import DISK_FULL, RocksWriter
from mq9fast.storage.store import Batch
from mq9fast.storage.write_ahead_log import sync_directory


def is_damage(error: Exception) -> bool:
    """Whether RocksDB failed because what is in its files is wrong, and stays so."""
    return "Corruption" in str(error)


class NoValues:
    """The value log of a store that has none: see `Values` of `storage/store.py`."""

    def size_bytes(self) -> int:
        return 0

    def unsynced_bytes(self) -> int:
        return 0

    def complete(self) -> dict[int, int]:
        return {}

    def durable_after(self, number: int) -> list[tuple[int, int]]:
        return []

    def complete_active(self) -> None:
        pass

    def note_gone(self, prefixes: Iterable[bytes]) -> None:
        pass

    forget_gone = complete_active

    def file(self, number: int) -> NoReturn:
        raise KeyError(number)

    key_spans = close_file = forget = file


class UnloggedRocks(RocksWriter):
    """The database in the directory `path`, which is created if it is missing. Raises StartError.

    `failed` is called, by any thread, when RocksDB accepts no writes any more, or could not read. A full disk
    is no such failure.
    """

    def __init__(self, path: Path, *, max_files: int = -1) -> None:
        super().__init__()
        self.path = self._path = path
        self.failed: Callable[[StoreError], None] = lambda _error: None
        self.values = NoValues()
        self._lock = _claim(path)
        try:
            self._db = open_database(path, max_files, compact=False)
            self._presence = Presence(path)
        except Exception as error:  # rocksdict raises bare Exception
            os.close(self._lock)
            raise StartError(describe_open_error(path, error)) from error
        # The stub of rocksdict has a method here, and the class an attribute.
        self._write_options.disable_wal = True  # type: ignore[method-assign, assignment]
        self.written_sequence = self.synced_sequence = self._db.latest_sequence_number()

    def new_rows(self) -> Batch:
        """An empty write batch of RocksDB, for `write_rows`."""
        return cast(Batch, WriteBatch(True))

    def write_rows(self, rows: Batch) -> None:
        """Write a batch that `new_rows` returned. Raises StoreError."""
        self._check()
        try:
            self._write_rows(rows)
        except Exception as error:
            raise self._fail(error) from error
        self.written_sequence = self._db.latest_sequence_number()

    def flush(self) -> None:
        """Make everything written so far survive a power cut. Any thread may call it; it releases the GIL.
        Raises StoreError."""
        try:
            self._db.flush(True)
            self._presence.check()
        except Exception as error:
            raise self._fail(error) from error

    def checkpoint(self, target: Path) -> None:
        """Copy the store as it is now into the new directory `target`, for another node. Raises StoreError.

        Any thread may call it. Tables are hard-linked where the file system allows it.
        """
        try:
            Checkpoint(self._db).create_checkpoint(str(target))
            (target / REPLICA_FILE).touch()
        except Exception as error:
            raise StoreError(f"the store cannot be copied: {error}") from error

    def _fail(self, error: Exception, *, recovers: bool = False) -> StoreError:
        # Also a failed flush loses nothing: what it has not written is in memory, and in the log.
        failure = super()._fail(error, recovers=recovers or DISK_FULL in str(error))
        if not self._recovers:
            self.failed(failure)
        return failure

    def _unreadable(self, first: bytes, end: bytes, error: Exception) -> ReadError:
        failure = super()._unreadable(first, end, error)
        self.failed(failure)
        return failure

    def has_recovered(self) -> bool:
        """Whether RocksDB accepts writes, as it does by itself once a full disk has space."""
        try:
            self._write_nothing()
        except Exception:
            return False
        return True

    def close(self) -> None:
        """Flush everything and close the store. Raises StoreError."""
        self._presence.close()
        try:
            self._close_database()
        finally:
            os.close(self._lock)


def _claim(path: Path) -> int:
    """Lock the directory of a node, and mark a new one. Returns the descriptor of the lock."""
    try:
        make_directory(path)
        names = file_names(path)
        if names and REPLICA_FILE not in names:
            raise StartError(
                f"the data directory {path} is not that of a node of a cluster: "
                "set data_dir to another directory"
            )
        descriptor = os.open(path / REPLICA_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(describe_open_error(path, error)) from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not names:
            sync_directory(path)
    except OSError:
        os.close(descriptor)
        raise StartError(in_use(path)) from None
    return descriptor
