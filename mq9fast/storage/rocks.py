"""The store on RocksDB. Nothing else imports rocksdict."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn, cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    CompactOptions,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
)

from mq9fast._core.storage.row_iterator import RowIterator
from mq9fast.errors import ReadError, StartError, StoreError
from mq9fast.storage import layout as record
from mq9fast.storage.directory import in_use, make_directory
from mq9fast.storage.manifest import read_manifest
from mq9fast.storage.opening import Opening, examine_again
from mq9fast.storage.presence import Presence, probe
from mq9fast.storage.replay import replay
from mq9fast.storage.store import Batch
from mq9fast.storage.witness import State, Witness, boot_id

MEMTABLE_BYTES = 32 << 20
MEMTABLES = 3
# Less than this is not worth a table of its own.
WORTH_FLUSHING_BYTES = 4 << 20
BLOCK_CACHE_BYTES = 32 << 20
# Replays read block after block: fewer of them, at no great cost to reading one message.
BLOCK_BYTES = 32768
BLOOM_BITS_PER_KEY = 10
# A file whose keys are mostly deletions is compacted soon: a drained mailbox must not slow reading down.
DELETION_WINDOW = 4096
DELETION_RATIO = 0.5
# About what is compacted at a time: a broker that stops waits for it.
COMPACTED_BYTES = 128 << 20
# Writes are slowed and stopped late: the broker asks `write_stalled` and waits without blocking the loop.
LEVEL_ZERO_SLOWDOWN_FILES = 40
LEVEL_ZERO_STOP_FILES = 60
# RocksDB's account of what it does, in files named LOG.
INFO_LOG_FILES = 4
INFO_LOG_BYTES = 4 << 20
# What RocksDB says of a full disk.
NO_ROOM = "No space left on device"
# Not to be written when a directory is only looked at.
_WRITTEN_BY_READERS = ("LOCK", "LOG", "rocksdict-config.json")


class RocksStore:
    """One RocksDB directory, opened by one process. `path` is made if it is not there. `max_files`: how many
    tables may be open, -1 for all.

    Raises StartError if the directory cannot be used, another broker uses it, or it lost acknowledged changes
    and `accept_loss` is not given. `lost`: how many of them are gone. `jumps`: how often ids were moved on.
    """

    def __init__(self, path: Path, *, accept_loss: bool = False, max_files: int = -1) -> None:
        self.read_failed: Callable[[bytes, bytes, str], None] | None = None
        self._path = path
        self._max_files = max_files
        self._failure = ""
        self._recovers = False
        self._compacts = True
        self._old: Rdict | None = None
        self._new: Rdict | None = None
        self._witness: Witness | None = None
        self._opening = Opening(path, accept_loss=accept_loss)
        self.jumps = 0
        try:
            make_directory(path)
            self._opening.examine(_format_of)
            self._opening.prepare()
            self._db = open_database(path, max_files, create=self._opening.create, compact=False)
            self._presence = Presence(path)
        except Exception as error:  # rocksdict raises bare Exception
            self._opening.close()
            if isinstance(error, StartError):
                raise
            raise StartError(_why_not_open(path, error)) from error
        self.lost = self._opening.lost
        self.written_sequence = self.synced_sequence = self._db.latest_sequence_number()

    def begin(self, sync: str) -> None:
        """Note, in the store and beside it, that a broker begins to serve with the setting `sync`.

        Raises StoreError. Nothing may be acknowledged before.
        """
        state = self._opening.state or State()
        jumps = max(state.jumps, record.stored_jumps(self)) + self._opening.jump
        self.jumps = min(jumps, record.MAX_JUMPS)
        batch = self.new_batch()
        # Its random part tells this store's log from any other.
        batch.put(record.JUMPS_KEY, record.number(self.jumps) + os.urandom(8))
        self.write(batch)
        self.sync()
        state.made, state.clean, state.sync, state.jumps = True, False, sync, self.jumps
        state.boot_id = boot_id()
        state.acknowledged = state.synced = self.synced_sequence
        try:
            state.store_id = read_manifest(self._path).store_id
        except OSError as error:
            raise StoreError(f"the MANIFEST cannot be read: {error.strerror}") from error
        assert self._opening.file is not None
        witness = Witness(self._opening.file, state)
        witness.mark(self._path)
        witness.begin()
        self._witness = witness

    def begin_compacting(self) -> None:
        try:
            self._db.set_options({"disable_auto_compactions": "false"})
        except Exception as error:
            self._fail(error)

    def new_batch(self) -> Batch:
        # In raw mode, which costs twice as much to say by name.
        batch: Batch = WriteBatch(True)
        return batch

    def write(self, batch: Batch) -> None:
        self._check()
        try:
            self._db.write(batch)  # type: ignore[arg-type]
            self.written_sequence = self._db.latest_sequence_number()
            if self._witness is not None:
                self._witness.written(self.written_sequence)
        except Exception as error:
            # RocksDB begins another log by itself when there is room again.
            raise self._fail(error, recovers=NO_ROOM in str(error)) from error

    def sync(self) -> None:
        self._check()
        sequence = self.written_sequence
        try:
            self._db.flush_wal(True)
            self._presence.check()
            if self._witness is not None:
                self._witness.synced(sequence, self._path)
        except Exception as error:
            raise self._fail(error) from error
        self.synced_sequence = sequence

    def check(self) -> None:
        self._check()
        try:
            self._presence.check()
            if self._db.property_int_value("rocksdb.background-errors"):
                # Refused with what went wrong, if RocksDB has not recovered.
                self._db.write(WriteBatch(True))
        except Exception as error:
            raise self._fail(error) from error

    def refuse(self, error: StoreError) -> None:
        if not self._failure:
            self._fail(error)

    def _check(self) -> None:
        if self._failure:
            raise StoreError(self._failure)

    def _fail(self, error: Exception, *, recovers: bool = False) -> StoreError:
        """Take no more writes, since what became of this one is not known. Returns what to raise."""
        self._failure, self._recovers = str(error) or type(error).__name__, recovers
        return StoreError(self._failure)

    def write_stalled(self) -> bool:
        try:
            return bool(self._db.property_int_value("rocksdb.is-write-stopped"))
        except Exception:
            # The write that comes next says what is wrong.
            return False

    def flush_memtables(self) -> None:
        try:
            held = self._db.property_int_value("rocksdb.cur-size-all-mem-tables") or 0
            if held > WORTH_FLUSHING_BYTES:
                self._db.flush(False)
        except Exception as error:
            raise StoreError(str(error)) from error

    def table_bytes(self) -> int:
        try:
            return self._db.property_int_value("rocksdb.total-sst-files-size") or 0
        except Exception as error:
            raise StoreError(str(error)) from error

    def compact(self, stop: Callable[[], bool]) -> None:
        if not self._compacts:
            return
        db, options = self._db, CompactOptions()
        # Others go on beside it.
        options.set_exclusive_manual_compaction(False)
        try:
            db.flush(True)
            for first, end in _shares(db):
                if stop():
                    return
                db.compact_range(first, end, options)
        except Exception as error:
            raise StoreError(str(error)) from error

    def get(self, key: bytes) -> bytes | None:
        try:
            return cast("bytes | None", self._db.get(key))
        except Exception as error:
            raise self._unreadable(key, key + b"\0", error) from error

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        # The iterator points into the options without keeping them.
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        try:
            iterator = self._db.iter(options)
            iterator.seek(first)
        except Exception as error:
            raise self._unreadable(first, end, error) from error
        return RowIterator(iterator, options, first, end, self._unreadable)

    def _unreadable(self, first: bytes, end: bytes, error: Exception) -> ReadError:
        """What to raise when reading from `first` up to `end` failed."""
        if self.read_failed is not None:
            self.read_failed(first, end, str(error))
        return ReadError(str(error))

    # After a failure; see mq9fast/commit/healing.py.

    def probe(self) -> None:
        self._presence.check()
        probe(self._path)

    def has_recovered(self) -> bool:
        if not self._recovers:
            return False
        try:
            self._db.write(WriteBatch(True))
            self._db.flush_wal(True)
        except Exception:
            self._recovers = False
        return self._recovers

    def detach(self) -> None:
        if not isinstance(self._db, _Closed):
            self._old, self._db = self._db, cast(Rdict, _Closed())

    def reopen(self, least: int, *, compact: bool) -> None:
        if self._old is not None:
            # It cannot write what is in memory, which its log has.
            with contextlib.suppress(Exception):
                self._old.close()
            self._old = None
        try:
            self._presence.check()
            examine_again(self._path, least)
            replay(self._path, self._max_files, compact=compact)
            # rocksdict would make a directory that is gone.
            self._presence.check()
            new = open_database(self._path, self._max_files, create=False, compact=compact)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"it cannot be opened again: {error}") from error
        missing = least - new.latest_sequence_number()
        if missing > 0:
            new.close()
            raise StoreError(f"it lacks {missing} acknowledged changes: the broker has to be started again")
        self._new, self._compacts = new, compact

    def attach(self) -> None:
        assert self._new is not None
        self._db, self._new = self._new, None

    def resume(self) -> None:
        self._failure = ""
        self.written_sequence = self.synced_sequence = self._db.latest_sequence_number()

    def close(self) -> None:
        try:
            if self._witness is not None:
                self.sync()
                self._witness.end(self._path)
        finally:
            self._close()

    def _close(self) -> None:
        self._presence.close()
        if self._new is not None:
            self.attach()
        elif self._old is not None:
            self._db, self._old = self._old, None
        try:
            self._db.close()
        except Exception as error:
            raise StoreError(str(error)) from error
        finally:
            self._opening.close()


class _Closed:
    """Stands in for a database that is being opened again."""

    def __getattr__(self, _name: str) -> NoReturn:
        raise StoreError("the store is being opened again")


def _shares(db: Rdict) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Ranges of keys that together are all, each with about COMPACTED_BYTES of tables that begin in it."""
    first: bytes | None = None
    gathered = 0
    for table in sorted(db.live_files(), key=lambda table: cast(bytes, table["start_key"])):
        start = cast(bytes, table["start_key"])
        if gathered >= COMPACTED_BYTES and start != first:
            yield first, start
            first, gathered = start, 0
        gathered += cast(int, table["size"])
    yield first, None


def open_database(path: Path, max_files: int, *, create: bool = True, compact: bool = True) -> Rdict:
    options = _options(create=create, compact=compact)
    options.set_max_open_files(max_files)
    # Unless rocksdict is told those of the column family it takes them from the last OPTIONS file, which
    # lacks the collector of deletions and the cache.
    return Rdict(_told(path), options, {"default": options})


def _options(*, create: bool, compact: bool) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(create)
    options.set_disable_auto_compactions(not compact)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_write_buffer_number(MEMTABLES)
    options.set_level_zero_slowdown_writes_trigger(LEVEL_ZERO_SLOWDOWN_FILES)
    options.set_level_zero_stop_writes_trigger(LEVEL_ZERO_STOP_FILES)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    options.add_compact_on_deletion_collector_factory(
        DELETION_WINDOW, int(DELETION_WINDOW * DELETION_RATIO), DELETION_RATIO
    )
    options.set_keep_log_file_num(INFO_LOG_FILES)
    options.set_max_log_file_size(INFO_LOG_BYTES // INFO_LOG_FILES)
    table = BlockBasedOptions()
    table.set_block_size(BLOCK_BYTES)
    table.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    options.set_block_based_table_factory(table)
    return options


def _format_of(path: Path) -> int | None:
    """The format of a store of ours, 0 for an empty one; None if the RocksDB in `path` is another's."""
    # Only a store of an older version is asked: a start is to be quick.
    import tempfile

    options = Options(raw_mode=True)
    options.create_if_missing(False)
    with tempfile.TemporaryDirectory() as name:
        # rocksdict writes its own settings wherever it opens a store, RocksDB its LOG.
        info_overrides = Path(name)
        for file in path.iterdir():
            if file.name not in _WRITTEN_BY_READERS:
                (info_overrides / file.name).symlink_to(file.absolute())
        try:
            db = Rdict(_told(info_overrides), options, access_type=AccessType.read_only(False))
        except Exception as error:
            if "does not match existing comparator" in str(error):
                return None
            text = str(error).replace(name, str(path))
            raise StartError(f"the data directory {path} cannot be opened: {text}") from error
        try:
            version = db.get(record.VERSION_KEY)
            if version is None:
                return 0 if db.latest_sequence_number() == 0 else None
            return int.from_bytes(cast("bytes", version), "big")
        finally:
            db.close()


def _told(path: Path) -> str:
    """The path as rocksdict takes it: the text that its bytes are in UTF-8."""
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError:
        raise StartError(f"the data directory {path} has a name that is not UTF-8") from None


def _why_not_open(path: Path, error: Exception) -> str:
    text = str(error)
    if "lock hold by" in text or ("lock file:" in text and os.strerror(errno.EAGAIN) in text):
        return in_use(path)
    if "lock file:" in text:
        return f"the data directory {path} cannot be locked: {text.rpartition(': ')[2]}"
    if isinstance(error, OSError):
        return f"the data directory {path} cannot be used: {error.strerror or text}"
    return f"the data directory {path} cannot be opened: {text}"
