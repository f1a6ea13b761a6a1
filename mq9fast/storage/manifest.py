"""Reads RocksDB's MANIFEST without RocksDB: which tables a store has, and with which file its log begins.

A MANIFEST has RocksDB's log format. Its payloads are version edits: tags (varints), each followed by its
fields. A tag with bit 13 set has one length-prefixed field, and a reader may skip it. `data_directory.py` and
`rocks.py` call `read_manifest`. This module opens files for reading only.
"""

import re
from pathlib import Path
from typing import NamedTuple

from mq9fast._core.storage.rocks_log import PayloadReader
from mq9fast.errors import bad_file_error

_CURRENT = re.compile(rb"MANIFEST-(\d+)\n")
_COMPARATOR, _LOG_NUMBER, _NEXT_FILE, _LAST_SEQUENCE, _CURSOR, _DELETED_FILE = 1, 2, 3, 4, 5, 6
_PREVIOUS_LOG, _MIN_LOG, _NEW_FILE, _FAMILY, _MAX_FAMILY, _GROUP = 9, 10, 103, 200, 203, 300
_SKIPPABLE = 1 << 13
_STORE_ID = _SKIPPABLE + 1
_END_OF_FIELDS = 1


class Manifest(NamedTuple):
    """The content of a MANIFEST.

    `name`: its file name. `first_log`: the number of the first file of the log. `next_file`: the number of
    the next new file. `flushed`: the tables hold every change up to this sequence number. `bounds`: of each
    table, its level, its first key, and its last key. `damaged_from`: at this offset the file has a damaged
    edit. Neither that edit nor those behind it are applied.
    """

    name: str
    store_id: str
    first_log: int
    next_file: int
    flushed: int
    tables: dict[int, int]  # file number: bytes
    bounds: dict[int, tuple[int, bytes, bytes]]
    damaged_from: int | None = None


class _Edits:
    """The sum of version edits, applied in their order."""

    def __init__(self) -> None:
        self.store_id = ""
        self.first_log = self.next_file = self.flushed = -1
        self.tables: dict[int, int] = {}
        self.bounds: dict[int, tuple[int, bytes, bytes]] = {}

    def apply(self, edit: bytes) -> None:
        """Apply one edit. Raises ValueError or IndexError if it is malformed or has an unknown tag."""
        self._edit, self._at = edit, 0
        while self._at < len(edit):
            self._field(self._number())

    def _field(self, tag: int) -> None:
        if tag == _NEW_FILE:
            self._new_file()
        elif tag == _DELETED_FILE:
            self._number()
            number = self._number()
            self.tables.pop(number, None)
            self.bounds.pop(number, None)
        elif tag == _COMPARATOR:
            self._text()
        elif tag == _STORE_ID:
            self.store_id = self._text().decode()
        elif tag == _LOG_NUMBER:
            self.first_log = self._number()
        elif tag == _NEXT_FILE:
            self.next_file = self._number()
        elif tag == _LAST_SEQUENCE:
            # The first edit's number is that of the tables when the file was created. Later numbers may be
            # ahead of the tables.
            last = self._number()
            self.flushed = max(self.flushed, last) if self.flushed < 0 else self.flushed
        elif tag in {_PREVIOUS_LOG, _MIN_LOG, _FAMILY, _MAX_FAMILY, _GROUP}:
            self._number()
        elif tag == _CURSOR:
            self._number()
            self._text()
        elif tag & _SKIPPABLE:
            self._text()
        else:
            raise ValueError(f"unknown tag {tag}")

    def _new_file(self) -> None:
        level, number, size = self._number(), self._number(), self._number()
        # Behind each key are 8 bytes with its sequence number.
        self.bounds[number] = level, self._text()[:-8], self._text()[:-8]
        self._number()
        self.flushed = max(self.flushed, self._number())
        while self._number() != _END_OF_FIELDS:
            self._text()
        self.tables[number] = size

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._edit[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def _text(self) -> bytes:
        size = self._number()
        if self._at + size > len(self._edit):
            raise ValueError("a field is longer than its edit")
        self._at += size
        return self._edit[self._at - size : self._at]


def read_manifest(path: Path, *, after_power_cut: bool = False) -> Manifest:
    """Read the MANIFEST that CURRENT names in the directory `path`. Raises StartError or OSError.

    An incomplete last edit is ignored, as RocksDB does: it never took effect. `after_power_cut`: a damaged
    edit, and all behind it, may be edits that were never fsynced. They are ignored too, but the caller has to
    check that they are (`manifest_end.py`), and to cut them off.
    """
    return parse_manifest(path, *manifest_content(path), after_power_cut=after_power_cut)[0]


def manifest_content(path: Path) -> tuple[str, bytes]:
    """The name and the content of the MANIFEST of the directory `path`. Raises StartError or OSError."""
    found = _CURRENT.fullmatch((path / "CURRENT").read_bytes())
    if found is None:
        raise bad_file_error(path, "CURRENT", "is damaged")
    name = found[0].decode().strip()
    if not (path / name).is_file():
        raise bad_file_error(path, name, "is missing")
    return name, (path / name).read_bytes()


def parse_manifest(
    path: Path, name: str, content: bytes, *, after_power_cut: bool = False
) -> tuple[Manifest, int]:
    """The Manifest in `content`, and where its last complete edit ends. Raises StartError, which names
    `path` and `name`."""
    damaged = bad_file_error(path, name, "is damaged")
    reader = PayloadReader()
    is_intact = reader.feed(content) or reader.torn or not any(content[reader.end :])
    if not is_intact and not after_power_cut:
        raise damaged
    edits = _Edits()
    try:
        for payload in reader.payloads:
            edits.apply(payload)
    except (ValueError, IndexError):
        raise damaged from None
    if min(edits.first_log, edits.next_file, edits.flushed) < 0:
        raise damaged
    numbers = edits.first_log, edits.next_file, edits.flushed
    damaged_from = None if is_intact else reader.end
    return Manifest(name, edits.store_id, *numbers, edits.tables, edits.bounds, damaged_from), reader.end
