"""The bytes of value pointers, records and segments, and what a batch writes to the value log."""

import errno
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from mq9fast._core.storage.value_batch import ValueBatch
from mq9fast._core.storage.value_format import is_segment_head, pack_segment_head
from tests.support.in_memory import MemoryBatch
from tests.support.stored_rows import (
    batch_key,
    mailbox_record,
    message_key,
    message_value,
    record_batch,
    segment_head,
    thinned_batch,
    value_pointer,
    value_record,
)

KEY = message_key(0x11, 1, 0x21)
# The smallest value that goes to the value log, and the largest that does not.
LARGE, SMALL = b"\1" * 1024, b"\1" * 1023
SEGMENT = 0x0102030405060708


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "segment", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def new_batch() -> tuple[ValueBatch, dict[bytes, bytes | None]]:
    """A batch, and the changes in RocksDB's batch."""
    rows = MemoryBatch()
    return ValueBatch(rows), rows.changes


def test_head_of_a_segment() -> None:
    head = bytes.fromhex("6d 71 39 76  00 00 00 01  01 02 03 04 05 06 07 08")
    assert pack_segment_head(SEGMENT)[:16] == head
    assert pack_segment_head(SEGMENT) == segment_head(SEGMENT)
    assert len(segment_head(SEGMENT)) == 32
    assert is_segment_head(segment_head(SEGMENT) + b"more", SEGMENT)
    assert not is_segment_head(segment_head(SEGMENT), SEGMENT + 1)
    assert not is_segment_head(segment_head(SEGMENT)[:31], SEGMENT)


def test_bytes_of_a_record_and_of_its_pointer(file: int) -> None:
    batch, changes = new_batch()
    value = message_value(5, b"hdr", b"p" * 1024)
    batch.put(KEY, value)
    assert (batch.large, changes, batch.record_bytes) == ({KEY: value}, {}, 16 + 18 + len(value))
    batch.append(file, SEGMENT, 0x0A0B0C)
    record = os.pread(file, 4096, 0x0A0B0C)
    assert record == value_record(KEY, value)
    assert record[4:12] == bytes.fromhex("00 12  00 00  00 00 04 13")
    assert record[16:34] == KEY
    (pointer,) = changes.values()
    assert pointer is not None
    assert len(pointer) == 32
    assert pointer == value_pointer(value, SEGMENT, 0x0A0B0C + 34, 3 + 1024)
    assert pointer[:4] == bytes.fromhex("05  01 01  00")
    # The same checksum as in the record, and where the value is.
    assert pointer[4:8] == record[12:16]
    assert pointer[8:24] == bytes.fromhex("01 02 03 04 05 06 07 08  00 0a 0b 2e  00 00 04 13")
    # The flags of the message are known: there are none.
    assert pointer[24:] == bytes.fromhex("00 00 04 03  01 00 00 00")
    assert (batch.large, batch.record_bytes) == ({}, 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (message_value(1, b"head", b"x" * 2000), (2004, 1, 1)),
        (record_batch([(n, 1, b"h" * n, b"x" * 600) for n in range(3)]), (1803, 3, 3)),
        (record_batch([(n, 1, b"", b"x" * 600) for n in range(64)]), (38400, 64, 64)),
        (thinned_batch(64, {n: (n, 1, b"", b"x" * 600) for n in (0, 62, 63)}), (1800, 64, 3)),
    ],
    ids=["message", "batch", "full batch", "thinned batch"],
)
def test_pointer_counts_messages_and_their_bytes(
    file: int, value: bytes, expected: tuple[int, int, int]
) -> None:
    batch, changes = new_batch()
    batch.put(batch_key(1, 2, 9), value)
    batch.append(file, 1, 32)
    content, count, kept = expected
    assert changes == {batch_key(1, 2, 9): value_pointer(value, 1, 32 + 35, content, count=count, kept=kept)}


def test_only_large_rows_of_messages_go_to_the_value_log() -> None:
    batch, changes = new_batch()
    small = {
        KEY: SMALL,
        b"b" + KEY: LARGE,
        b"bmailbox": mailbox_record(b"d" * 4000),
        b"m": LARGE,
        KEY[:17]: LARGE,
        batch_key(1, 2, 3) + b"\0": LARGE,
    }
    for key, value in small.items():
        batch.put(key, value)
    assert changes == small
    batch.put(batch_key(1, 2, 3), LARGE)
    batch.put(message_key(1, 2, 3), LARGE)
    assert list(batch.large) == [batch_key(1, 2, 3), message_key(1, 2, 3)]
    assert changes == small


def test_last_change_of_a_key_counts(file: int) -> None:
    keys = [message_key(1, 2, number) for number in range(6)]
    batch, changes = new_batch()
    for key in keys:
        batch.put(key, LARGE)
    batch.put(keys[1], b"small")
    batch.delete(keys[2])
    batch.delete_range(keys[3], keys[5])
    batch.put(keys[4], LARGE + b"4")
    batch.put(keys[5], LARGE + b"55")
    batch.put(keys[0], b"small")
    batch.put(keys[0], LARGE + b"0")
    assert batch.large == {keys[4]: LARGE + b"4", keys[5]: LARGE + b"55", keys[0]: LARGE + b"0"}
    expected = b"".join(value_record(key, value) for key, value in batch.large.items())
    assert batch.record_bytes == len(expected)
    batch.append(file, 7, 32)
    assert os.pread(file, 1 << 20, 32) == expected
    assert changes[keys[1]] == b"small"
    assert changes[keys[2]] is None
    assert keys[3] not in changes
    first = 32 + 34
    assert changes[keys[4]] == value_pointer(LARGE + b"4", 7, first, 1025 - 16)
    assert changes[keys[5]] == value_pointer(LARGE + b"55", 7, first + 1025 + 34, 1026 - 16)
    assert changes[keys[0]] == value_pointer(LARGE + b"0", 7, first + 1025 + 1026 + 68, 1025 - 16)


def test_many_and_very_large_values_are_written_in_order(file: int) -> None:
    """More pieces, and more bytes, than one system call takes."""
    chance = random.Random(0)
    sizes = [1024] * 600 + [3_000_000, 1024, 262_144 - 34, 262_144, 1 << 20]
    batch, changes = new_batch()
    for number, size in enumerate(sizes):
        batch.put(message_key(1, 2, number), chance.randbytes(size))
    expected = b"".join(value_record(key, value) for key, value in batch.large.items())
    batch.append(file, 1, 32)
    assert os.pread(file, 2 * len(expected), 32) == expected
    assert len(changes) == len(sizes)


def test_failed_append_puts_nothing_and_can_be_repeated(file: int, tmp_path: Path) -> None:
    batch, changes = new_batch()
    batch.put(KEY, LARGE)
    full = os.open("/dev/full", os.O_RDWR)
    reading = os.open(tmp_path / "segment", os.O_RDONLY)
    for descriptor, error in ((full, errno.ENOSPC), (reading, errno.EBADF)):
        with pytest.raises(OSError, match=os.strerror(error)) as failure:
            batch.append(descriptor, 1, 32)
        assert failure.value.errno == error
        assert (changes, batch.large) == ({}, {KEY: LARGE})
        os.close(descriptor)
    batch.append(file, 1, 32)
    assert changes == {KEY: value_pointer(LARGE, 1, 66, 1008)}
    assert os.pread(file, 4096, 32) == value_record(KEY, LARGE)


def test_partial_write_is_an_error(file: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    batch, changes = new_batch()
    batch.put(KEY, LARGE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            batch.append(file, 1, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.fstat(file).st_size == 500
    assert changes == {}
    batch.append(file, 1, 0)
    assert os.pread(file, 4096, 0) == value_record(KEY, LARGE)
