"""RocksDB's write-ahead log, looked at before RocksDB does: how far it is whole, and what lies behind that.

RocksDB recovers what it can, writes it to tables and deletes the log: what it could not read is gone then.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from mq9fast._core.storage.rocks_log import BatchReader, begins_with_record, last_sequence_behind
from mq9fast.storage.manifest import Manifest

# Of RocksDB's log format.
BLOCK_BYTES = 32768
READ_BYTES = 128 * BLOCK_BYTES
DELETION_BITMAP_BYTES = 4


class Break(NamedTuple):
    """The place where the log is not whole: nothing is good in `file` from `offset` on."""

    file: str
    offset: int


class Log(NamedTuple):
    """What there is of the log of a store, in sequence numbers: each change in a batch has one.

    `last`: everything up to it is in tables or in the log. `behind`: the last that was found behind `broken`,
    0 if nothing was.
    """

    files: list[Path]
    last: int
    behind: int
    broken: Break | None


def log_name(number: int) -> str:
    """The name of a file of the log."""
    return f"{number:06d}.log"


def log_numbers(path: Path) -> list[int]:
    """The numbers of all files of a log in a directory, as RocksDB sees them."""
    found = (re.fullmatch(r"(\d+)\.log", file.name) for file in path.iterdir())
    return sorted(int(match[1]) for match in found if match)


def deletion_bitmap_of(path: Path) -> int | None:
    """The checksum of its first record, which tells a file of the log from another store's; None without."""
    try:
        with path.open("rb") as file:
            start = file.read(DELETION_BITMAP_BYTES)
    except FileNotFoundError:
        return None
    return int.from_bytes(start, "little") if len(start) == DELETION_BITMAP_BYTES else None


def begins_whole(path: Path) -> bool:
    """Whether the first record of a file of the log is whole: else its checksum is damage. Raises OSError."""
    with path.open("rb") as file:
        return begins_with_record(file.read(BLOCK_BYTES))


def read_log(path: Path, manifest: Manifest) -> Log:
    """Read the files of the log that RocksDB would. Raises OSError."""
    files = [path / log_name(number) for number in log_numbers(path) if number >= manifest.first_log]
    reader = BatchReader(manifest.flushed)
    most = manifest.flushed + sum(file.stat().st_size for file in files)
    behind = 0
    broken: Break | None = None
    for file in files:
        before = reader.last
        reader.next_file()
        _feed(file, reader)
        if reader.last > before:
            # A write that failed may end a file; the next goes on where it began.
            broken, behind = None, 0
        if reader.end < file.stat().st_size:
            behind = max(behind, _last_behind(file, reader, most))
            broken = broken or Break(file.name, reader.end)
    return Log(files, reader.last, behind, broken)


def _feed(file: Path, reader: BatchReader) -> None:
    with file.open("rb", buffering=0) as opened:
        while (some := _read(opened.fileno(), reader.at)) and reader.feed(some):
            pass


def _read(descriptor: int, offset: int) -> bytes:
    """READ_BYTES from `offset` on, less only at the end of the file."""
    pieces, wanted = [], READ_BYTES
    while wanted and (piece := os.pread(descriptor, wanted, offset)):
        pieces.append(piece)
        wanted -= len(piece)
        offset += len(piece)
    return b"".join(pieces)


def _last_behind(file: Path, reader: BatchReader, most: int) -> int:
    first = reader.end - reader.end % BLOCK_BYTES
    with file.open("rb") as opened:
        opened.seek(first)
        return last_sequence_behind(opened.read(), reader.end - first, reader.last, most)


def set_aside(path: Path, log: Log, place: Path) -> None:
    """Move what lies behind the break of a log to the new directory `place`, so that RocksDB ends there.

    Raises OSError; what is to be kept of the log is never away from `path`.
    """
    assert log.broken is not None
    place.mkdir()
    names = [file.name for file in log.files]
    for name in reversed(names[names.index(log.broken.file) + 1 :]):
        (path / name).rename(place / name)
    damaged, kept = path / log.broken.file, place / f"{log.broken.file}.kept"
    with damaged.open("rb") as source, kept.open("wb") as target:
        left = log.broken.offset
        while some := source.read(min(left, READ_BYTES)):
            target.write(some)
            left -= len(some)
        target.flush()
        os.fsync(target.fileno())
    (place / log.broken.file).hardlink_to(damaged)
    kept.replace(damaged)
    sync_directory(place)
    sync_directory(path)


def cut_off(path: Path, log: Log) -> None:
    """Have a log end where it breaks off, if it does: nothing behind was acknowledged. Raises OSError."""
    if log.broken is None:
        return
    names = [file.name for file in log.files]
    for name in reversed(names[names.index(log.broken.file) :]):
        with (path / name).open("r+b") as file:
            file.truncate(log.broken.offset if name == log.broken.file else 0)
            os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
