"""A file that holds one small record and one number, and survives a torn write.

It is separate from RocksDB's files, so damage to those does not affect it. `broker_state.py` and
`server/timekeeping.py` each keep one such file in the data directory.

    slot 0 at offset 0, slot 1 at offset 4096:

    0         4        12       16
    +---------+--------+--------+----------+
    | "mq9s"  | number | size   | payload  | crc32(4) of everything before
    +---------+--------+--------+----------+

A write goes to the slot of the older record, so the newer record stays readable if the write is torn. At
offset 8192, behind the slots, are a sequence number(8) and its complement(8), which cost less to replace.
"""

import os
import struct
import zlib
from pathlib import Path

from mq9fast.errors import StoreError

# The file of `server/timekeeping.py`.
CLOCK_FILE = "mq9fast.clock"
SLOT_BYTES = 4096
_HEADER = struct.Struct(">4sQI")
_CRC = struct.Struct(">I")
_MAGIC = b"mq9s"
_SEQUENCE = struct.Struct(">QQ")
_SEQUENCE_AT = 2 * SLOT_BYTES
_FILE_BYTES = _SEQUENCE_AT + _SEQUENCE.size
_COMPLEMENT = (1 << 64) - 1
MAX_PAYLOAD_BYTES = SLOT_BYTES - _HEADER.size - _CRC.size


class StateFile:
    """One record of up to MAX_PAYLOAD_BYTES, replaced in place. Every method raises StoreError if it fails.

    A written record survives a kill at once, and a power cut after `sync`. `write` and `sync` must not run at
    the same time in two threads; the thread need not be the event loop's.
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
        """The descriptor of the open file, for a lock."""
        return self._descriptor

    def read(self) -> bytes | None:
        """The newest complete record; None if the file is empty. StoreError if no record is complete."""
        found = _read_newest(self._descriptor, self.path)
        if found is None:
            return None
        self._number, payload = found
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

    def write_sequence(self, number: int) -> None:
        """Replace the sequence number (0 to 2**64 - 1). One thread may call this during other methods."""
        try:
            if not self._allocated:
                self._allocate()
            written = os.pwrite(self._descriptor, _SEQUENCE.pack(number, number ^ _COMPLEMENT), _SEQUENCE_AT)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}") from error
        if written != _SEQUENCE.size:
            raise StoreError(f"{self.path} cannot be written: the disk is full")

    def read_sequence(self) -> int:
        """The sequence number; 0 if none is complete."""
        return _read_sequence(self._descriptor, self.path)

    def _allocate(self) -> None:
        """Extend the file to its full size: only the first write can meet a full disk. Raises OSError."""
        missing = 0 if self._allocated else _FILE_BYTES - os.fstat(self._descriptor).st_size
        if missing > 0:
            missing -= os.pwrite(self._descriptor, bytes(missing), _FILE_BYTES - missing)
        self._allocated = missing <= 0

    def sync(self) -> None:
        """Make the last record durable."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be synced: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def read_record(path: Path) -> tuple[bytes | None, int]:
    """The newest complete record of a file, None if it is empty, and its sequence number, 0 if none is
    complete. Opens the file for reading only. Raises StoreError if no record is complete, and OSError if the
    file cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = _read_newest(descriptor, path)
        return None if found is None else found[1], _read_sequence(descriptor, path)
    finally:
        os.close(descriptor)


def write_record(path: Path, payload: bytes) -> None:
    """Write a new file with one record, and sync it. Raises StoreError."""
    path.unlink(missing_ok=True)
    file = StateFile(path)
    try:
        file.write(payload)
        file.sync()
    finally:
        file.close()


def _read_newest(descriptor: int, path: Path) -> tuple[int, bytes] | None:
    """The number and payload of the newest complete record."""
    try:
        slots = [os.pread(descriptor, SLOT_BYTES, at) for at in (0, SLOT_BYTES)]
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    records = [record for record in map(_unpack, slots) if record is not None]
    if not records:
        if any(slot.strip(b"\0") for slot in slots):
            raise StoreError(f"{path} is damaged")
        return None
    return max(records)


def _read_sequence(descriptor: int, path: Path) -> int:
    try:
        found = os.pread(descriptor, _SEQUENCE.size, _SEQUENCE_AT)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    number, complement = _SEQUENCE.unpack(found.ljust(_SEQUENCE.size, b"\0"))
    return number if number == complement ^ _COMPLEMENT else 0


def _unpack(slot: bytes) -> tuple[int, bytes] | None:
    """The number and payload of a slot; None if its record is not complete."""
    if len(slot) < _HEADER.size + _CRC.size:
        return None
    magic, number, size = _HEADER.unpack_from(slot)
    end = _HEADER.size + size
    if magic != _MAGIC or size > MAX_PAYLOAD_BYTES or len(slot) < end + _CRC.size:
        return None
    if zlib.crc32(slot[:end]) != _CRC.unpack_from(slot, end)[0]:
        return None
    return number, slot[_HEADER.size : end]
