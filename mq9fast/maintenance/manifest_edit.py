"""Appends to a copy of a MANIFEST: RocksDB then opens a store without tables that are missing or unreadable.

`storage/manifest.py` describes the format of a MANIFEST.
"""

import struct
from collections.abc import Iterable

from mq9fast.storage.write_ahead_log import BLOCK_BYTES

_DELETED_FILE = 6
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# CRC-32C, and how RocksDB changes it before it stores it.
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8


def without_tables(content: bytes, tables: Iterable[tuple[int, int]]) -> bytes:
    """The content of a MANIFEST with an edit at its end that removes tables: (level, number) of each."""
    edit = b"".join(bytes([_DELETED_FILE]) + _varint(level) + _varint(number) for level, number in tables)
    return content + _records(edit, len(content))


def _records(payload: bytes, offset: int) -> bytes:
    """The payload as records of a log that has `offset` bytes already."""
    written = b""
    is_first = True
    while payload or is_first:
        left = BLOCK_BYTES - (offset + len(written)) % BLOCK_BYTES
        if left < _HEADER.size:
            written += bytes(left)
            continue
        piece, payload = payload[: left - _HEADER.size], payload[left - _HEADER.size :]
        kind = (_FULL if not payload else _FIRST) if is_first else (_LAST if not payload else _MIDDLE)
        written += _HEADER.pack(_masked(bytes([kind]) + piece), len(piece), kind) + piece
        is_first = False
    return written


def _masked(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _varint(number: int) -> bytes:
    packed = b""
    while number > 0x7F:
        packed += bytes([number & 0x7F | 0x80])
        number >>= 7
    return packed + bytes([number])
