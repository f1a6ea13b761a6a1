"""Reads and packs rows of the store in Python, for tools that meet damaged ones.

`_core/storage/row_format.pxd` draws the rows, and `value_format.pxd` the value pointers. The core reads them
for a broker; this module needs every field, and goes on where the core stops.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from mq9fast._core.storage.record import DELAYED_RANK, MESSAGES, REPLACED_RANK, CorruptRecord
from mq9fast.storage.layout import RANKS

PRIORITIES = ("critical", "urgent", "normal")
DUE_ROWS = b"t"
FAILURES_RANK, NAMES_RANK, KEYS_RANK = 4, 12, 14
# Of a mailbox record: there may be rows or messages of these kinds.
HAS_ID_ROWS, OWN_LIVES, NAMES, FAILURE_ROWS, RECEIPTS, REPLACED = 2, 4, 8, 16, 32, 64
HAS_LIFE, HAS_NAME = 8, 16  # flags of a message

_MAILBOX = struct.Struct(">BBHI4Q3Q3QQII")
_MESSAGE = struct.Struct(">BBHIQ")
_ATTRIBUTE = struct.Struct(">BH")
_POINTER = struct.Struct(">BBBBIQIIIB3x")
_DUE = struct.Struct(">BxHI")
_DUE_ENTRY = struct.Struct(">BQ")
_BATCH, _THINNED, _BITMAP, _VALUE_POINTER, _DUE_ROW = 2, 4, 3, 5, 8
_TAG_LIFE, _TAG_DUE = 1, 3
_TAG_DELAYED, _TAG_KEY_ROWS = 64, 65
_DUE_STEP_MS = 250
_ENDLESS = (1 << 64) - 1


class MailboxRow:
    """A mailbox record whose numbers can be changed. Raises CorruptRecord if it cannot be read."""

    def __init__(self, record: bytes) -> None:
        if len(record) < _MAILBOX.size or record[0] != 1:
            raise CorruptRecord(f"a mailbox record of {len(record)} bytes has an unknown format")
        fields = _MAILBOX.unpack_from(record)
        _, self.flags, attributes, description, self.uid, self.next_id, self.renewed_ms, self.ttl = fields[:8]
        self.heads, self.counts = list(fields[8:11]), list(fields[11:14])
        self.size_bytes, self.id_epoch, self.dead = fields[14:]
        if _MAILBOX.size + description + attributes != len(record):
            raise CorruptRecord(f"a mailbox record of {len(record)} bytes does not have the length in it")
        self._description = record[_MAILBOX.size : _MAILBOX.size + description]
        self._attributes = list(_attributes(record[_MAILBOX.size + description :]))
        self.delayed, self.key_rows = self._number(_TAG_DELAYED), self._number(_TAG_KEY_ROWS)

    def _number(self, tag: int) -> int:
        return next((int.from_bytes(value, "big") for each, value in self._attributes if each == tag), 0)

    def pack(self) -> bytes:
        """The record with the numbers of now."""
        numbers = {_TAG_DELAYED: self.delayed, _TAG_KEY_ROWS: self.key_rows}
        kept = [each for each in self._attributes if each[0] not in numbers]
        kept += [(tag, value.to_bytes(8, "big")) for tag, value in numbers.items() if value]
        attributes = b"".join(_ATTRIBUTE.pack(tag, len(value)) + value for tag, value in kept)
        sizes = len(attributes), len(self._description)
        lifetime = self.uid, self.next_id, self.renewed_ms, self.ttl
        rest = *self.heads, *self.counts, self.size_bytes, self.id_epoch, self.dead
        return _MAILBOX.pack(1, self.flags, *sizes, *lifetime, *rest) + self._description + attributes


def empty_record(uid: int, renewed_ms: int) -> bytes:
    """The record of a private mailbox without messages, options and end."""
    return _MAILBOX.pack(1, 0, 0, 0, uid, 0, renewed_ms, 0, *(0,) * 9)


class Message(NamedTuple):
    """A stored message. `msg_id`: the id in its row. `size`: of headers and payload. `due_ms`, `life_ms`: 0
    if it has none."""

    msg_id: int
    size: int
    created_ms: int
    due_ms: int
    life_ms: int

    def next_ms(self, *, is_delayed: bool) -> int:
        """When something is due: it takes its place if `is_delayed`, else its own life ends. 0: never."""
        if is_delayed:
            return self.due_ms
        return self.created_ms + self.life_ms if 0 < self.life_ms < _ENDLESS else 0


class Row(NamedTuple):
    """The key of a row under MESSAGES. `rank`: a priority, or what `row_format.pxd` draws. `msg_id`: that of
    its last message."""

    uid: int
    rank: int
    msg_id: int
    is_batch: bool

    @property
    def priority(self) -> int | None:
        """The priority of its messages, None if it has none. Delayed messages count."""
        rank = self.rank - DELAYED_RANK if self.is_delayed else self.rank
        return rank if rank < RANKS else None

    @property
    def is_delayed(self) -> bool:
        """Whether its message is delayed."""
        return DELAYED_RANK <= self.rank < DELAYED_RANK + RANKS


def read_key(key: bytes) -> Row:
    """The parts of a key under MESSAGES. Raises CorruptRecord."""
    if len(key) < 18 or key[:1] != MESSAGES or key[9] > REPLACED_RANK:
        raise CorruptRecord(f"a key of {len(key)} bytes has an unknown format")
    return Row(
        int.from_bytes(key[1:9], "big"),
        key[9],
        int.from_bytes(key[10:18], "big"),
        key[9] < RANKS and len(key) == 19,
    )


def is_bitmap(row: Row, value: bytes) -> bool:
    """Whether the row is the deletion bitmap of the record batch that follows."""
    return row.rank < RANKS and value[:1] == bytes([_BITMAP])


def deleted_bits(value: bytes) -> int:
    """The bits of a deletion bitmap. Raises CorruptRecord."""
    if len(value) != 16:
        raise CorruptRecord(f"a deletion bitmap of {len(value)} bytes has an unknown format")
    return int.from_bytes(value[8:], "big")


class Pointer(NamedTuple):
    """Where a large value is. `messages`: how many the row was written with."""

    segment: int
    offset: int
    size: int
    messages: int


def read_pointer(value: bytes) -> Pointer | None:
    """The value pointer in a row, None if the row has the value itself."""
    if len(value) != _POINTER.size or value[0] != _VALUE_POINTER:
        return None
    _, count, _, _, _, segment, offset, size, _, _ = _POINTER.unpack(value)
    return Pointer(segment, offset, size, count)


def messages_in(row: Row, value: bytes, deleted: int) -> Iterator[Message]:
    """The messages of a row that are not deleted. `deleted`: the bits of its bitmap. Raises CorruptRecord."""
    if not row.is_batch:
        yield _message(row.msg_id, value)
        return
    entries_at = {_BATCH: 8, _THINNED: 16}.get(value[0] if value else 0, 0)
    if not entries_at or len(value) < entries_at:
        raise CorruptRecord(f"a record batch of {len(value)} bytes has an unknown format")
    count = value[1]
    kept = int.from_bytes(value[8:16], "big") if entries_at == 16 else (1 << count) - 1
    present = [index for index in range(count) if kept >> index & 1]
    bodies = entries_at + 12 * len(present)
    begin = 0
    for position, index in enumerate(present):
        at = entries_at + 12 * position
        msg_id, end = struct.unpack_from(">QI", value, at) if at + 12 <= len(value) else (0, 0)
        if end < begin or bodies + end > len(value):
            raise CorruptRecord(f"a record batch of {len(value)} bytes does not have the length in it")
        if not deleted >> index & 1:
            yield _message(msg_id, value[bodies + begin : bodies + end])
        begin = end


def _message(msg_id: int, value: bytes) -> Message:
    if len(value) < _MESSAGE.size or value[0] != 1:
        raise CorruptRecord(f"a message of {len(value)} bytes has an unknown format")
    _, flags, attributes, header, created_ms = _MESSAGE.unpack_from(value)
    size = len(value) - _MESSAGE.size - attributes
    if header > size:
        raise CorruptRecord(f"a stored message of {len(value)} bytes is shorter than the lengths in it")
    numbers: dict[int, int] = {}
    if attributes:
        packed = value[_MESSAGE.size : _MESSAGE.size + attributes]
        numbers = {tag: int.from_bytes(each, "big") for tag, each in _attributes(packed)}
    life_ms = numbers.get(_TAG_LIFE, 0) if flags & HAS_LIFE else 0
    return Message(msg_id, size, created_ms, numbers.get(_TAG_DUE, 0), life_ms)


def _attributes(packed: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(packed):
        if at + _ATTRIBUTE.size > len(packed):
            raise CorruptRecord("the last attribute of a record is cut off")
        tag, size = _ATTRIBUTE.unpack_from(packed, at)
        at += _ATTRIBUTE.size
        if at + size > len(packed):
            raise CorruptRecord("an attribute of a record is longer than what is left of the record")
        yield tag, packed[at : at + size]
        at += size


def due_entries(key: bytes, value: bytes) -> Iterator[tuple[int, int, int]]:
    """What is due in a due row: (uid, kind, msg_id). Raises CorruptRecord."""
    if len(key) != 25 or len(value) < _DUE.size or value[0] != _DUE_ROW:
        raise CorruptRecord(f"a due row of {len(value)} bytes has an unknown format")
    uid = int.from_bytes(key[9:17], "big")
    _, address, count = _DUE.unpack_from(value)
    at = _DUE.size + address
    if at + count * _DUE_ENTRY.size != len(value):
        raise CorruptRecord(f"a due row of {len(value)} bytes does not have the length in it")
    for _ in range(count):
        kind, msg_id = _DUE_ENTRY.unpack_from(value, at)
        yield uid, kind, msg_id
        at += _DUE_ENTRY.size


def due_row(address: bytes, uid: int, kind: int, msg_id: int, due_ms: int) -> tuple[bytes, bytes]:
    """A due row of one message."""
    step = (due_ms // _DUE_STEP_MS + 1) * _DUE_STEP_MS
    key = DUE_ROWS + step.to_bytes(8, "big") + uid.to_bytes(8, "big") + msg_id.to_bytes(8, "big")
    return key, _DUE.pack(_DUE_ROW, len(address), 1) + address + _DUE_ENTRY.pack(kind, msg_id)
