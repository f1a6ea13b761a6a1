"""RocksDB's MANIFEST, read without RocksDB: which tables a store has, and where its log begins.

It is a file of RocksDB's log format, whose payloads are version edits: a tag (varint) and its fields, and so
on. Tags with bit 13 have one field with its length, and may be passed over.
"""

import re
from pathlib import Path
from typing import NamedTuple

from mq9fast._core.storage.rocks_log import PayloadReader
from mq9fast.errors import spoiled

_CURRENT = re.compile(rb"MANIFEST-(\d+)\n")
_COMPARATOR, _LOG_NUMBER, _NEXT_FILE, _LAST_SEQUENCE, _CURSOR, _DELETED_FILE = 1, 2, 3, 4, 5, 6
_PREVIOUS_LOG, _MIN_LOG, _NEW_FILE, _FAMILY, _MAX_FAMILY, _GROUP = 9, 10, 103, 200, 203, 300
_MAY_BE_PASSED_OVER = 1 << 13
_STORE_ID = _MAY_BE_PASSED_OVER + 1
_END_OF_FIELDS = 1


class Manifest(NamedTuple):
    """What a MANIFEST says. `flushed` is the sequence number that the tables hold everything up to."""

    name: str
    store_id: str
    first_log: int
    next_file: int
    flushed: int
    tables: dict[int, int]  # number: bytes


class _Edits:
    """Takes version edits in their order."""

    def __init__(self) -> None:
        self.store_id = ""
        self.first_log = self.next_file = self.flushed = -1
        self.tables: dict[int, int] = {}

    def take(self, edit: bytes) -> None:
        """Raises ValueError or IndexError for what is no edit that this version knows."""
        self._edit, self._at = edit, 0
        while self._at < len(edit):
            self._field(self._number())

    def _field(self, tag: int) -> None:
        if tag == _NEW_FILE:
            self._new_file()
        elif tag == _DELETED_FILE:
            self._number()
            self.tables.pop(self._number(), None)
        elif tag == _COMPARATOR:
            self._text()
        elif tag == _STORE_ID:
            self.store_id = self._text().decode()
        elif tag == _LOG_NUMBER:
            self.first_log = self._number()
        elif tag == _NEXT_FILE:
            self.next_file = self._number()
        elif tag == _LAST_SEQUENCE:
            # The first is of the time when the file was begun. Later ones are ahead of what is in tables.
            last = self._number()
            self.flushed = max(self.flushed, last) if self.flushed < 0 else self.flushed
        elif tag in {_PREVIOUS_LOG, _MIN_LOG, _FAMILY, _MAX_FAMILY, _GROUP}:
            self._number()
        elif tag == _CURSOR:
            self._number()
            self._text()
        elif tag & _MAY_BE_PASSED_OVER:
            self._text()
        else:
            raise ValueError(f"unknown tag {tag}")

    def _new_file(self) -> None:
        self._number()
        number, size = self._number(), self._number()
        self._text()
        self._text()
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


def read_manifest(path: Path) -> Manifest:
    """The MANIFEST that CURRENT names in the directory `path`. Raises StartError, OSError.

    A last edit that is not whole never took effect, and is passed over, as RocksDB does.
    """
    found = _CURRENT.fullmatch((path / "CURRENT").read_bytes())
    if found is None:
        raise spoiled(path, "CURRENT", "is damaged")
    name = found[0].decode().strip()
    if not (path / name).is_file():
        raise spoiled(path, name, "is missing")
    damaged = spoiled(path, name, "is damaged")
    reader = PayloadReader()
    content = (path / name).read_bytes()
    if not reader.feed(content) and not reader.torn and any(content[reader.end :]):
        raise damaged
    edits = _Edits()
    try:
        for payload in reader.payloads:
            edits.take(payload)
    except (ValueError, IndexError):
        raise damaged from None
    if min(edits.first_log, edits.next_file, edits.flushed) < 0:
        raise damaged
    return Manifest(name, edits.store_id, edits.first_log, edits.next_file, edits.flushed, edits.tables)
