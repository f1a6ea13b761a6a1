"""Tests of `live_values` and `dropped_rows`: which values rows point to, and rows whose values are lost."""

import pytest

from mq9fast._core.storage.dropped_rows import dropped_rows, uid_in, without_messages
from mq9fast._core.storage.live_values import LiveValues, points_to, rows_in
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.storage.layout import MESSAGES, prefix_end
from mq9fast.storage.value_recovery import drop_lost_rows
from tests.support.in_memory import MemoryBatch, MemoryStore
from tests.support.stored_rows import (
    attribute,
    batch_key,
    deletion_bitmap,
    mailbox_record,
    message_key,
    message_value,
    value_pointer,
)

Rows = list[tuple[bytes, bytes]]
VALUE = b"\1" + bytes(1999)
# Of a message in a batch: what is stored besides its headers and its payload.
OVERHEAD = 28


def lost(segment: int = 9, content: int = 1984, **counts: int) -> bytes:
    """A pointer to a value that is lost."""
    return value_pointer(VALUE, segment, 66, content, **counts)


def dropped(*rows: tuple[bytes, bytes]) -> list[tuple[bytes, int, int, int, int, int]]:
    """The rows whose values are in segment 9."""
    return list(dropped_rows(rows, lambda value: value[15] != 9))


# Only three of them are pointers.
ROWS: Rows = [
    (message_key(1, 2, 1), value_pointer(VALUE, 1, 66)),
    (message_key(1, 2, 2), message_value(1, b"", b"small")),
    (message_key(1, 2, 5), deletion_bitmap(1)),
    (batch_key(1, 2, 5), value_pointer(VALUE, 2, 66)),
    (batch_key(1, 2, 9), value_pointer(VALUE * 2, 1, 5000)),
    (message_key(1, 2, 10), b"\5" + bytes(30)),
    (message_key(1, 2, 11), b"\5" + bytes(32)),
]


def test_live_values_are_counted_by_segment() -> None:
    live = LiveValues()
    left = iter(ROWS)
    ends = [live.count(left, 3) for _ in range(3)]
    assert ends == [ROWS[2][0], ROWS[5][0], None]
    assert live.bytes_in == {1: (16 + 18 + 2000) + (16 + 19 + 4000), 2: 16 + 19 + 2000}


def test_rows_that_point_into_segments_are_found() -> None:
    first, second, third = (
        (ROWS[0][0], 1, 66, 2000),
        (ROWS[3][0], 2, 66, 2000),
        (ROWS[4][0], 1, 5000, 4000),
    )
    left = iter(ROWS)
    assert rows_in(left, {1, 3}, 3) == ([first], ROWS[2][0])
    assert rows_in(left, {1, 3}, 100) == ([third], None)
    assert rows_in(iter(ROWS), {2}, 100) == ([second], None)
    assert rows_in(iter(ROWS), set(), 100) == ([], None)


def test_points_to_compares_segment_and_offset() -> None:
    pointer = value_pointer(VALUE, 7, 100)
    assert points_to(pointer, 7, 100)
    assert not points_to(pointer, 7, 101)
    assert not points_to(pointer, 8, 100)
    assert not points_to(VALUE, 7, 100)
    assert not points_to(None, 7, 100)


def test_only_rows_with_lost_values_are_dropped() -> None:
    key = message_key(7, 1, 3)
    assert dropped((key, lost(8)), (message_key(7, 1, 4), message_value(1, b"", b"small"))) == []
    assert dropped((key, lost(8)), (message_key(7, 1, 4), lost())) == [
        (message_key(7, 1, 4), 7, 1, 1, 1984, 0)
    ]


def test_dropped_batch_counts_messages_that_are_not_deleted() -> None:
    key, bitmap_key = batch_key(7, 2, 9), message_key(7, 2, 9)
    assert dropped((key, lost(count=5, content=500))) == [(key, 7, 2, 5, 500, 0)]
    # Two messages of 100 bytes are deleted.
    bitmap = deletion_bitmap(0b10010, 200 + 2 * OVERHEAD)
    assert dropped((bitmap_key, bitmap), (key, lost(count=5, content=500))) == [
        (key, 7, 2, 3, 300, 200 + 2 * OVERHEAD)
    ]


def test_dropped_thinned_batch_counts_messages_that_are_not_deleted() -> None:
    key, bitmap_key = batch_key(7, 2, 9), message_key(7, 2, 9)
    # Written with ten messages. Six were deleted before it was thinned, and one of 100 bytes afterwards.
    bitmap = deletion_bitmap(0b1111111, 100 + OVERHEAD)
    assert dropped((bitmap_key, bitmap), (key, lost(count=10, kept=4, content=400))) == [
        (key, 7, 2, 3, 300, 100 + OVERHEAD)
    ]


def test_bitmap_belongs_only_to_the_batch_behind_it() -> None:
    bitmap = deletion_bitmap(0b1, 128)
    single, batch = message_key(7, 2, 8), batch_key(7, 2, 9)
    assert dropped((message_key(7, 2, 6), bitmap), (single, lost(content=10))) == [(single, 7, 2, 1, 10, 0)]
    for between in ((batch_key(7, 2, 6), lost(8)), (batch_key(7, 2, 6), b"\2" * 50)):
        rows = ((message_key(7, 2, 6), bitmap), between, (batch, lost(count=3, content=300)))
        assert dropped(*rows) == [(batch, 7, 2, 3, 300, 0)]


def test_mailbox_record_without_messages() -> None:
    limits = attribute(2, 100)
    numbers = {
        "created_ms": 9,
        "uid": 7,
        "next_id": 50,
        "renewed_ms": 3,
        "ttl_seconds": 4,
        "public": 1,
        "head1": 2,
    }
    record = mailbox_record(b"desc", limits, count0=1, count1=10, count2=20, size_bytes=5000, **numbers)
    assert uid_in(record) == 7
    smaller = mailbox_record(b"desc", limits, count0=1, count1=6, count2=20, size_bytes=4000, **numbers)
    assert without_messages(record, 1, 4, 1000, 0) == smaller
    # A count never becomes negative.
    none = mailbox_record(b"desc", limits, count0=0, count1=10, count2=20, size_bytes=0, **numbers)
    assert without_messages(record, 0, 2, 9999, 9999) == none
    dead = record[:100] + bytes([0, 0, 0, 9]) + record[104:]
    assert without_messages(dead, 0, 0, 0, 512) == record[:100] + bytes([0, 0, 0, 7]) + record[104:]
    for rank in (-1, 3):
        with pytest.raises(IndexError):
            without_messages(record, rank, 1, 1, 0)
    for damaged in (b"", record[:50], b"\2" + record[1:]):
        with pytest.raises(CorruptRecord):
            without_messages(damaged, 1, 1, 1, 0)
        with pytest.raises(CorruptRecord):
            uid_in(damaged)


def test_lost_rows_are_dropped_with_their_bitmaps_and_counts() -> None:
    store, batch = MemoryStore(), MemoryBatch()
    kept = mailbox_record(uid=1, count2=5, size_bytes=50)
    store.pairs = {
        b"bkept": kept,
        b"blossy": mailbox_record(uid=7, count1=1, count2=4, size_bytes=2000 + 300 + 10),
        message_key(7, 1, 1): lost(content=2000),
        message_key(7, 2, 9): deletion_bitmap(0b1, 100 + OVERHEAD),
        batch_key(7, 2, 9): lost(count=4, content=400),
        message_key(7, 2, 10): message_value(1, b"", b"small data"),
        # The mailbox has ended, and the purge of its messages goes on.
        message_key(8, 2, 1): lost(),
    }

    def scan(first: bytes, end: bytes) -> object:
        return iter([(key, value) for key, value in sorted(store.pairs.items()) if first <= key < end])

    assert prefix_end(MESSAGES) == b"n"
    assert drop_lost_rows(scan, lambda value: value[15] != 9, batch) == 1 + 3 + 1  # type: ignore[arg-type]
    store.write(batch)
    assert store.pairs == {
        b"bkept": kept,
        b"blossy": mailbox_record(uid=7, count1=0, count2=1, size_bytes=10),
        message_key(7, 2, 10): message_value(1, b"", b"small data"),
    }
