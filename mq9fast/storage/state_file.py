"""A small record in a file of its own, so that it does not share the fate of RocksDB's files.

    slot 0 at offset 0, slot 1 at offset 4096:

    0         4        12       16
    +---------+--------+--------+----------+
    | "mq9s"  | number | size   | payload  | crc32(4) of everything before
    +---------+--------+--------+----------+

A write goes to the slot that holds the older record, so that a torn write leaves the newer one readable.
Behind the slots, at offset 8192, is a number(8) and its complement(8), which cost less to replace.
"""

import os
import struct
import zlib
from pathlib import Path

from mq9fast.errors import StoreError

SLOT_BYTES = 4096
_HEADER = struct.Struct(">4sQI")
_CRC = struct.Struct(">I")
_MAGIC = b"mq9s"
_NOTE = struct.Struct(">QQ")
_NOTE_AT = 2 * SLOT_BYTES
_FILE_BYTES = _NOTE_AT + _NOTE.size
_COMPLEMENT = (1 << 64) - 1
MAX_PAYLOAD_BYTES = SLOT_BYTES - _HEADER.size - _CRC.size


class StateFile:
    """One record of up to MAX_PAYLOAD_BYTES, replaced in place. Every method raises StoreError if it cannot.

    `write` survives the process at once, and the machine after `sync`. Both may be called from one thread
    that is not the event loop's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = 0
        self._allocated = False
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}") from error

    @property
    def descriptor(self) -> int:
        """The open file, for a lock."""
        return self._descriptor

    def read(self) -> bytes | None:
        """The newest whole record; None if the file is empty. StoreError if it holds no whole record."""
        try:
            slots = [os.pread(self._descriptor, SLOT_BYTES, at) for at in (0, SLOT_BYTES)]
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}") from error
        records = [record for record in map(_unpack, slots) if record is not None]
        if not records:
            if any(slot.strip(b"\0") for slot in slots):
                raise StoreError(f"{self.path} is damaged")
            return None
        self._number, payload = max(records)
        return payload

    def write(self, payload: bytes) -> None:
        """Replace the record."""
        number = self._number + 1
        packed = _HEADER.pack(_MAGIC, number, len(payload)) + payload
        packed += _CRC.pack(zlib.crc32(packed))
        try:
            self._allocate()
            written = os.pwrite(self._descriptor, packed, (number % 2) * SLOT_BYTES)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}") from error
        if written != len(packed):
            raise StoreError(f"{self.path} cannot be written: the disk is full")
        self._number = number

    def note(self, number: int) -> None:
        """Replace the number (0 to 2**64 - 1) beside the record. From one thread, beside the others."""
        try:
            if not self._allocated:
                self._allocate()
            written = os.pwrite(self._descriptor, _NOTE.pack(number, number ^ _COMPLEMENT), _NOTE_AT)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}") from error
        if written != _NOTE.size:
            raise StoreError(f"{self.path} cannot be written: the disk is full")

    def noted(self) -> int:
        """The number beside the record; 0 if there is none that is whole."""
        try:
            found = os.pread(self._descriptor, _NOTE.size, _NOTE_AT)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}") from error
        number, complement = _NOTE.unpack(found.ljust(_NOTE.size, b"\0"))
        return number if number == complement ^ _COMPLEMENT else 0

    def _allocate(self) -> None:
        """Take the room of the file, so that a full disk fails no write after the first. Raises OSError."""
        missing = 0 if self._allocated else _FILE_BYTES - os.fstat(self._descriptor).st_size
        if missing > 0:
            missing -= os.pwrite(self._descriptor, bytes(missing), _FILE_BYTES - missing)
        self._allocated = missing <= 0

    def sync(self) -> None:
        """Make the last record survive a power cut."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be synced: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _unpack(slot: bytes) -> tuple[int, bytes] | None:
    """The number and payload of a slot; None if it holds no whole record."""
    if len(slot) < _HEADER.size + _CRC.size:
        return None
    magic, number, size = _HEADER.unpack_from(slot)
    end = _HEADER.size + size
    if magic != _MAGIC or size > MAX_PAYLOAD_BYTES or len(slot) < end + _CRC.size:
        return None
    if zlib.crc32(slot[:end]) != _CRC.unpack_from(slot, end)[0]:
        return None
    return number, slot[_HEADER.size : end]
