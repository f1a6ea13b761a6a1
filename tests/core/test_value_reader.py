"""Tests of `value_reader` and `segment_scanner`: damage is found, and nothing else is read."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.storage.segment_scanner import SegmentScanner
from mq9fast._core.storage.value_reader import ValueReader
from tests.support.stored_rows import batch_key, message_key, segment_head, value_pointer, value_record

KEYS = (message_key(1, 2, 3), batch_key(1, 2, 4), message_key(1, 0, 5))
VALUES = (b"a" * 1024, b"b" * 3000, b"c" * 2000)


def segment_of(number: int, records: list[bytes]) -> bytes:
    return segment_head(number) + b"".join(records)


RECORDS = [value_record(key, value) for key, value in zip(KEYS, VALUES, strict=True)]
STARTS = [32, 32 + len(RECORDS[0]), 32 + len(RECORDS[0]) + len(RECORDS[1])]
OFFSETS = [start + 16 + len(key) for start, key in zip(STARTS, KEYS, strict=True)]
SEGMENT = segment_of(1, RECORDS)
FOUND = [(key, at, len(value)) for key, at, value in zip(KEYS, OFFSETS, VALUES, strict=True)]


class Segments:
    """Segments in a directory, and how often each was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[int] = []

    def write(self, number: int, content: bytes) -> None:
        (self.path / str(number)).write_bytes(content)

    def open(self, number: int) -> int:
        self.opened.append(number)
        return os.open(self.path / str(number), os.O_RDONLY)


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    segments = Segments(tmp_path)
    segments.write(1, SEGMENT)
    return segments


def scan(content: bytes, end: int | None = None, start: int = 0) -> list[object]:
    """What a scanner finds in a file with this content, and None if it raises CorruptRecord then."""
    descriptor = os.memfd_create("segment")
    os.pwrite(descriptor, content, 0)
    found: list[object] = []
    try:
        found.extend(SegmentScanner(descriptor, 1, len(content) if end is None else end, start))
    except CorruptRecord:
        found.append(None)
    finally:
        os.close(descriptor)
    return found


def test_pointers_are_resolved_and_other_values_stay(segments: Segments) -> None:
    # Not a fixture: pytest would keep the reader after the test.
    reader = ValueReader(segments.open, 100)
    for value, offset in zip(VALUES, OFFSETS, strict=True):
        pointer = value_pointer(value, 1, offset)
        assert reader.resolve(pointer) == value
        assert reader.is_readable(pointer)
        for other in (b"", b"\5", pointer[:31], pointer + b"\0", b"\4" + pointer[1:]):
            assert reader.resolve(other) is other
            assert reader.is_readable(other)
    assert reader.resolve(None) is None
    reader.close()


def test_damaged_and_missing_values_are_not_readable(segments: Segments) -> None:
    reader = ValueReader(segments.open, 100)
    damaged = bytearray(SEGMENT)
    damaged[OFFSETS[1] + 100] ^= 1
    segments.write(2, bytes(damaged))
    segments.write(3, SEGMENT[:-1])
    segments.write(4, b"")
    unreadable = [
        value_pointer(VALUES[1], 2, OFFSETS[1]),
        value_pointer(VALUES[2], 3, OFFSETS[2]),
        value_pointer(VALUES[0], 4, OFFSETS[0]),
        value_pointer(VALUES[0], 1, OFFSETS[0] + 1),
        value_pointer(VALUES[0], 1, 0xFFFFFFFF),
    ]
    for pointer in unreadable:
        with pytest.raises(CorruptRecord, match=r"the value of \d+ bytes at byte \d+ of segment \d"):
            reader.resolve(pointer)
        assert not reader.is_readable(pointer)
    missing = value_pointer(VALUES[0], 9, OFFSETS[0])
    with pytest.raises(FileNotFoundError):
        reader.resolve(missing)
    assert not reader.is_readable(missing)
    # Values before the damage are.
    assert reader.is_readable(value_pointer(VALUES[0], 2, OFFSETS[0]))
    assert reader.is_readable(value_pointer(VALUES[1], 3, OFFSETS[1]))
    reader.close()


def test_failed_read_is_not_damage(tmp_path: Path) -> None:
    reader = ValueReader(lambda _: os.open(tmp_path, os.O_RDONLY), 1)
    for read in (reader.resolve, reader.is_readable):
        with pytest.raises(OSError, match="Is a directory while reading segment 1") as failure:
            read(value_pointer(VALUES[0], 1, 32))
        assert failure.value.errno == errno.EISDIR
    reader.close()


def test_reader_keeps_a_limited_number_of_segments_open(segments: Segments) -> None:
    for number in range(1, 6):
        segments.write(number, segment_of(number, RECORDS))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    reader = ValueReader(segments.open, 2)
    for _ in range(2):
        for number in range(1, 6):
            for value, offset in zip(VALUES, OFFSETS, strict=True):
                assert reader.resolve(value_pointer(value, number, offset)) == value
    assert segments.opened == [1, 2, 3, 4, 5] * 2
    assert len(os.listdir("/proc/self/fd")) == before + 2  # noqa: PTH208
    reader.add(6, os.open(segments.path / "1", os.O_RDONLY))
    assert reader.resolve(value_pointer(VALUES[0], 6, OFFSETS[0])) == VALUES[0]
    assert len(os.listdir("/proc/self/fd")) == before + 2  # noqa: PTH208
    reader.close_segment(6)
    reader.close_segment(6)
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_scanner_finds_the_records_in_order() -> None:
    assert scan(SEGMENT) == FOUND
    assert scan(SEGMENT, start=STARTS[1]) == FOUND[1:]
    assert scan(SEGMENT, end=STARTS[2]) == FOUND[:2]
    assert scan(SEGMENT, end=32) == scan(SEGMENT, start=len(SEGMENT)) == []
    # Bytes behind the end are of an append that failed.
    assert scan(SEGMENT + b"garbage", end=len(SEGMENT)) == FOUND


def test_records_behind_the_end_are_incomplete() -> None:
    for end in range(STARTS[2] + 1, len(SEGMENT)):
        assert scan(SEGMENT, end=end) == [*FOUND[:2], None]
    for size in (*range(STARTS[2] + 1, STARTS[2] + 50), len(SEGMENT) - 1):
        assert scan(SEGMENT[:size], end=len(SEGMENT)) == [*FOUND[:2], None]


@given(st.integers(32, len(SEGMENT) - 1), st.integers(1, 255))
def test_scanner_stops_at_a_damaged_record(at: int, flipped: int) -> None:
    damaged = bytearray(SEGMENT)
    damaged[at] ^= flipped
    number = sum(start <= at for start in STARTS) - 1
    assert scan(bytes(damaged)) == [*FOUND[:number], None]


@given(st.binary(max_size=200), st.integers(0, 300))
def test_scanner_of_random_bytes_stops_within_them(data: bytes, more: int) -> None:
    content = segment_of(1, [RECORDS[0], data])
    found = scan(content, len(content) + more)
    assert found == [FOUND[0]] if not data and not more else found == [FOUND[0], None]


def test_pointer_to_a_value_longer_than_its_segment_reserves_no_memory(segments: Segments) -> None:
    reader = ValueReader(segments.open, 4)
    pointer = bytearray(value_pointer(VALUES[0], 1, OFFSETS[0]))
    pointer[20:24] = b"\xff\xff\xff\xff"
    with pytest.raises(CorruptRecord, match="ends before a value of 4294967295 bytes"):
        reader.resolve(bytes(pointer))
    assert not reader.is_readable(bytes(pointer))
    reader.close()
