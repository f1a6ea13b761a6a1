"""Reads RocksDB's write-ahead log before RocksDB does: up to where it is intact, and what follows a break.

RocksDB recovers what it can read, writes that to tables, and deletes the log with the rest. So
`data_directory.py` calls `read_log` first, and then `truncate_at_break` or `move_broken_part`, which are the
only functions here that change files.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mq9fast._core.storage.rocks_log import BatchReader, find_last_sequence, starts_with_record
from mq9fast.storage.manifest import Manifest

# RocksDB's log format has blocks of this size, and begins each record with a checksum.
BLOCK_BYTES = 32768
CHECKSUM_BYTES = 4
# Where the first record has the sequence number of its batch.
_SEQUENCE = slice(7, 15)
READ_BYTES = 128 * BLOCK_BYTES


class Break(NamedTuple):
    """Where a log stops being intact: nothing in `file` from `offset` on is valid."""

    file: str
    offset: int


class WriteAheadLog(NamedTuple):
    """The log of a store, in sequence numbers. Each change of a batch has one.

    `last`: tables and log hold every change up to it. `last_after_break`: the last one that was found behind
    the break, 0 if none was.
    """

    files: list[Path]
    last: int
    last_after_break: int
    broken_at: Break | None


def log_name(number: int) -> str:
    """The name of a file of the log."""
    return f"{number:06d}.log"


def log_numbers(path: Path) -> list[int]:
    """The sorted numbers of all log files in a directory, recognized as RocksDB does."""
    found = (re.fullmatch(r"(\d+)\.log", file.name) for file in path.iterdir())
    return sorted(int(match[1]) for match in found if match)


def first_record_checksum(path: Path) -> int | None:
    """The checksum of the first record of a log file; None if the file is missing or shorter.

    It identifies the file: log files of two stores practically never begin with the same record.
    """
    try:
        with path.open("rb") as file:
            start = file.read(CHECKSUM_BYTES)
    except FileNotFoundError:
        return None
    return int.from_bytes(start, "little") if len(start) == CHECKSUM_BYTES else None


def first_record_is_whole(path: Path) -> bool:
    """Whether the first record of a log file matches its checksum. Raises OSError."""
    with path.open("rb") as file:
        return starts_with_record(file.read(BLOCK_BYTES))


def read_log(
    path: Path, manifest: Manifest, is_readable: Callable[[bytes], bool] | None = None, synced: int = 0
) -> WriteAheadLog:
    """Read the log files that RocksDB would read. Raises OSError.

    With `is_readable`, the log is also broken at a batch above the sequence number `synced` if
    `is_readable(value)` is false for one of its values.
    """
    files = [path / log_name(number) for number in log_numbers(path) if number >= manifest.first_log]
    reader = BatchReader(manifest.flushed, is_readable, synced)
    max_sequence = manifest.flushed + sum(file.stat().st_size for file in files)
    last_after_break = 0
    broken_at: Break | None = None
    for file in files:
        before = reader.last
        reader.next_file()
        _feed(file, reader)
        if reader.last > before:
            # A failed write may end a file with a break. The next file continues from before that write.
            broken_at, last_after_break = None, 0
        if reader.end < file.stat().st_size:
            last_after_break = max(last_after_break, _last_sequence_after_break(file, reader, max_sequence))
            broken_at = broken_at or Break(file.name, reader.end)
    return WriteAheadLog(files, reader.last, last_after_break, broken_at)


def begins_with_gap(log: WriteAheadLog) -> bool:
    """Whether the first file of a log is gone. Raises OSError."""
    if not log.files:
        return True
    if log.broken_at != Break(log.files[0].name, 0):
        return False
    with log.files[0].open("rb") as file:
        start = file.read(BLOCK_BYTES)
    return starts_with_record(start) and int.from_bytes(start[_SEQUENCE], "little") > log.last + 1


def _feed(file: Path, reader: BatchReader) -> None:
    with file.open("rb", buffering=0) as opened:
        while (data := _read(opened.fileno(), reader.at)) and reader.feed(data):
            pass


def _read(descriptor: int, offset: int) -> bytes:
    """READ_BYTES from `offset` on, fewer only at the end of the file."""
    pieces, missing = [], READ_BYTES
    while missing and (piece := os.pread(descriptor, missing, offset)):
        pieces.append(piece)
        missing -= len(piece)
        offset += len(piece)
    return b"".join(pieces)


def _last_sequence_after_break(file: Path, reader: BatchReader, max_sequence: int) -> int:
    first = reader.end - reader.end % BLOCK_BYTES
    with file.open("rb") as opened:
        opened.seek(first)
        return find_last_sequence(opened.read(), reader.end - first, reader.last, max_sequence)


def move_broken_part(path: Path, log: WriteAheadLog, target: Path) -> None:
    """Move everything behind the break of a log to the new directory `target`, so that the log ends there.

    Raises OSError. The intact part stays in `path` at every moment, also if the process is killed.
    """
    assert log.broken_at is not None
    target.mkdir()
    names = [file.name for file in log.files]
    for name in reversed(names[names.index(log.broken_at.file) + 1 :]):
        (path / name).rename(target / name)
    damaged, kept = path / log.broken_at.file, target / f"{log.broken_at.file}.kept"
    with damaged.open("rb") as source, kept.open("wb") as copy:
        left = log.broken_at.offset
        while data := source.read(min(left, READ_BYTES)):
            copy.write(data)
            left -= len(data)
        copy.flush()
        os.fsync(copy.fileno())
    (target / log.broken_at.file).hardlink_to(damaged)
    kept.replace(damaged)
    sync_directory(target)
    sync_directory(path)


def truncate_at_break(path: Path, log: WriteAheadLog) -> None:
    """Truncate a log at its break, if it has one. Raises OSError.

    Only for a log that lost nothing: no change behind the break was acknowledged.
    """
    if log.broken_at is None:
        return
    names = [file.name for file in log.files]
    for name in reversed(names[names.index(log.broken_at.file) :]):
        with (path / name).open("r+b") as file:
            file.truncate(log.broken_at.offset if name == log.broken_at.file else 0)
            os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
