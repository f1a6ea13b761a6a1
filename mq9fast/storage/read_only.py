"""Reads the database of a data directory without changing a byte of it, for `maintenance/`.

RocksDB and rocksdict write files of their own even when they only read. So they get a temporary directory
with symbolic links to the files of the store.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rocksdict import AccessType, Rdict, ReadOptions

from mq9fast._core.storage.row_iterator import RowIterator
from mq9fast.errors import ReadError, StoreError
from mq9fast.storage.rocks_database import links_to, reader_options, utf8_path

# How many tables may be open. More are opened and closed again while rows are read.
MAX_FILES = 256
# No key of a broker is longer. To find where a gap ends, keys are numbers of so many bytes.
KEY_BYTES = 136
_IGNORED = re.compile(r"Table #(\d+): ignoring (.*)")
_PATH = re.compile(r"\S*/(\d+\.sst)")

# (first, end, reason): the rows from `first` up to but not `end` cannot be read.
Gap = Callable[[bytes, bytes, str], None]


class ReadOnlyStore:
    """The database whose files, or links to them, are in `links`. Raises StoreError if it cannot be opened.

    `skip_damage`: what follows a damaged place of the log is read, too. `others`: if set, has the same store
    without its damaged tables.
    """

    def __init__(self, links: Path, *, skip_damage: bool = False) -> None:
        options = reader_options(MAX_FILES, skip_damage=skip_damage)
        self.others: ReadOnlyStore | None = None
        try:
            self._db = Rdict(
                utf8_path(links), options, {"default": options}, access_type=AccessType.read_only(False)
            )
        except Exception as error:  # rocksdict raises bare Exception
            raise StoreError(_PATH.sub(r"\1", str(error))) from error

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, None if there is none. Raises ReadError."""
        for found, value in self.rows(key, key + b"\0"):
            assert found == key
            return value
        return None

    def rows(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The stored rows from `first` up to but not `end`. Raises ReadError where they cannot be read."""
        options = ReadOptions()
        options.set_iterate_upper_bound(end)
        try:
            iterator = self._db.iter(options)
            iterator.seek(first)
        except Exception as error:
            raise _unreadable(first, end, error) from error
        return RowIterator(iterator, options, first, end, _unreadable, None)

    def readable_rows(self, first: bytes, end: bytes, gap: Gap) -> Iterator[tuple[bytes, bytes]]:
        """As `rows`, but goes on behind what cannot be read, and calls `gap` for it. Gives what `others` has
        there."""
        while True:
            try:
                for row in self.rows(first, end):
                    yield row
                    first = row[0] + b"\0"
            except ReadError as error:
                behind = self._behind_gap(first, end)
                gap(first, behind, str(error))
                if self.others is not None:
                    yield from self.others.readable_rows(first, behind, gap)
                if behind >= end:
                    return
                first = behind
            else:
                return

    def _behind_gap(self, first: bytes, end: bytes) -> bytes:
        """The first key from which rows can be read again; `end` if there is none."""
        start, limit = _number(first), _number(end)
        step = 1
        while start + step < limit and not self._can_seek(_key(start + step), end):
            step *= 2
        low, high = start + step // 2, min(start + step, limit)
        while high - low > 1:
            middle = (low + high) // 2
            if self._can_seek(_key(middle), end):
                high = middle
            else:
                low = middle
        return min(_key(high), end)

    def _can_seek(self, key: bytes, end: bytes) -> bool:
        try:
            next(self.rows(key, end), None)
        except ReadError:
            return False
        return True

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def damaged_tables(path: Path, names: Iterable[str]) -> dict[str, str]:
    """The tables of these names in `path` in which a block does not match its checksum: name and reason.

    RocksDB's own repair reads each table whole, in the temporary directory. Bloom filters are not checked:
    what is damaged there costs time only. Raises OSError, and StoreError.
    """
    with links_to(path, names) as links:
        rebuild(links)
        lost = {file.name for file in (links / "lost").glob("*.sst")}
        reasons = dict.fromkeys(sorted(lost), "it cannot be read")
        for number, reason in _IGNORED.findall((links / "LOG").read_text(errors="replace")):
            name = f"{int(number):06d}.sst"
            if name in lost:
                reasons[name] = _PATH.sub(r"\1", reason)
        return reasons


def rebuild(links: Path) -> None:
    """Make a database of the tables and log files in a directory. Those that cannot be read are moved to
    `lost` in it. Raises StoreError."""
    try:
        Rdict.repair(utf8_path(links), reader_options(MAX_FILES, skip_damage=True))
    except Exception as error:
        raise StoreError(_PATH.sub(r"\1", str(error))) from error


def _unreadable(_first: bytes, _end: bytes, error: Exception) -> ReadError:
    return ReadError(_PATH.sub(r"\1", str(error)))


def _number(key: bytes) -> int:
    return int.from_bytes(key[:KEY_BYTES].ljust(KEY_BYTES, b"\0"), "big")


def _key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")
