"""Opens RocksDB databases through rocksdict: the options, the path, and the errors of opening.

`rocks.py` and `unlogged.py`, which implement the store, and `replay.py` call this module.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
)

from mq9fast.errors import StartError
from mq9fast.storage import layout
from mq9fast.storage.directory_checks import in_use

MEMTABLE_BYTES = 32 << 20
MEMTABLES = 3
BLOCK_CACHE_BYTES = 32 << 20
# Scans read block after block. Larger blocks speed them up, and cost little when one message is read.
BLOCK_BYTES = 32768
BLOOM_BITS_PER_KEY = 10
# RocksDB soon compacts a table if, among any DELETION_WINDOW consecutive keys, the share DELETION_RATIO are
# deletions. Otherwise a mailbox that was drained would stay slow to read.
DELETION_WINDOW = 4096
DELETION_RATIO = 0.5
# At these numbers of level-0 files RocksDB slows down or blocks writes. They are high, because a blocked
# write would block the event loop. The broker checks `write_stalled` and waits instead.
LEVEL_ZERO_SLOWDOWN_FILES = 40
LEVEL_ZERO_STOP_FILES = 60
# RocksDB's log of its own work, in files named LOG.
INFO_LOG_FILES = 4
INFO_LOG_TOTAL_BYTES = 4 << 20
# RocksDB and rocksdict write these even when they open a database for reading only.
FILES_WRITTEN_BY_READERS = ("LOCK", "LOG", "rocksdict-config.json")


def open_database(path: Path, max_files: int, *, create: bool = True, compact: bool = True) -> Rdict:
    """Open the database in `path`. rocksdict raises bare Exception.

    `max_files`: how many tables may be open, -1 for all. `create`: create the database if there is none.
    `compact`: whether background compaction is on.
    """
    options = _options(create=create, compact=compact)
    options.set_max_open_files(max_files)
    # The options of the column family are passed explicitly. Otherwise rocksdict takes them from the last
    # OPTIONS file, which has neither the deletion collector nor the cache.
    return Rdict(utf8_path(path), options, {"default": options})


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
    # What it checks costs nothing that can be measured; docs/design.md says which checks do.
    options.set_paranoid_checks(True)
    options.add_compact_on_deletion_collector_factory(
        DELETION_WINDOW, int(DELETION_WINDOW * DELETION_RATIO), DELETION_RATIO
    )
    options.set_keep_log_file_num(INFO_LOG_FILES)
    options.set_max_log_file_size(INFO_LOG_TOTAL_BYTES // INFO_LOG_FILES)
    table = BlockBasedOptions()
    table.set_block_size(BLOCK_BYTES)
    table.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
    options.set_block_based_table_factory(table)
    return options


def reader_options(max_files: int, *, skip_damage: bool) -> Options:
    """The options to read a database that may be damaged. `skip_damage`: what follows a damaged place of the
    log is read, too."""
    options = _options(create=False, compact=False)
    options.set_max_open_files(max_files)
    options.set_paranoid_checks(False)
    if skip_damage:
        options.set_wal_recovery_mode(DBRecoveryMode.skip_any_corrupted_record())
    return options


@contextlib.contextmanager
def links_to(path: Path, names: Iterable[str] | None = None) -> Iterator[Path]:
    """A temporary directory with links to the files of `path`, or only to those of these names. Raises
    OSError."""
    # Imported late, because a start must be quick.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mq9fast-") as name:
        links = Path(name)
        for each in names if names is not None else (file.name for file in path.iterdir()):
            if each not in FILES_WRITTEN_BY_READERS:
                (links / each).symlink_to((path / each).absolute())
        yield links


def read_format_version(path: Path) -> int | None:
    """The format of the mq9fast store in `path`, 0 if it is empty; None for a database of another program.

    Raises StartError if RocksDB cannot open it. Changes no file in `path`. This is slow, so only a store
    without a state file, which an older version wrote, is opened like this.
    """
    options = Options(raw_mode=True)
    options.create_if_missing(False)
    with links_to(path) as links:
        try:
            db = Rdict(utf8_path(links), options, access_type=AccessType.read_only(False))
        except Exception as error:
            if "does not match existing comparator" in str(error):
                return None
            text = str(error).replace(str(links), str(path))
            raise StartError(f"the data directory {path} cannot be opened: {text}") from error
        try:
            version = db.get(layout.VERSION_KEY)
            if version is None:
                return 0 if db.latest_sequence_number() == 0 else None
            return int.from_bytes(cast("bytes", version), "big")
        finally:
            db.close()


def utf8_path(path: Path) -> str:
    """The path as rocksdict takes it: its bytes, decoded as UTF-8. Raises StartError if they are not."""
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError:
        raise StartError(f"the data directory {path} has a name that is not UTF-8: rename it") from None


def describe_open_error(path: Path, error: Exception) -> str:
    """The sentence for an exception that was raised while the data directory `path` was opened."""
    text = str(error)
    if "lock hold by" in text or ("lock file:" in text and os.strerror(errno.EAGAIN) in text):
        return in_use(path)
    if "lock file:" in text:
        return f"the data directory {path} cannot be locked: {text.rpartition(': ')[2]}"
    if isinstance(error, OSError):
        return f"the data directory {path} cannot be used: {error.strerror or text}"
    return f"the data directory {path} cannot be opened: {text}"
