"""Records: whatever changes a store gets, a follower's store gets the same from the record."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.storage.logged_batch import LoggedBatch, apply_changes
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.cluster.record import (
    BATCHES,
    COMPRESSED,
    COMPRESSED_FROM_BYTES,
    FORMAT,
    STORE_FORMAT,
    Chain,
    Damaged,
    NewerFormat,
    Position,
    batches_in,
    body_of,
    fence_record,
    header_of,
    node_of,
    pack_record,
)
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.storage.layout import FORMAT_VERSION, LAST_KEY, POSITION_KEY
from tests.support.owner import rows_of

# Those that a store may have besides its place in the log.
keys = st.binary(min_size=1, max_size=6).filter(lambda key: key < LAST_KEY and key != POSITION_KEY)
values = st.one_of(st.binary(max_size=20), st.integers(0, 3000).map(bytes))
changes = st.one_of(
    st.tuples(st.just("put"), keys, values),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("delete_range"), keys, keys).map(lambda each: (each[0], *sorted(each[1:]))),
)
batches = st.lists(st.lists(changes, max_size=12), max_size=6)


class Dictionary:
    """A write batch that changes a dictionary."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows

    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)

    def delete_range(self, first: bytes, end: bytes) -> None:
        for key in [key for key in self.rows if first <= key < end]:
            del self.rows[key]


def logged(batch: list[tuple[str, ...]], rows: dict[bytes, bytes]) -> bytes:
    target = LoggedBatch(Dictionary(rows))
    for name, *arguments in batch:
        getattr(target, name)(*arguments)
    return target.changes


@given(batches, st.integers(100, 5000))
def test_record_brings_the_same_changes(batches: list[list[tuple[str, ...]]], max_bytes: int) -> None:
    rows: dict[bytes, bytes] = {}
    packed = [logged(batch, rows) for batch in batches]
    before = after = Chain(7, 41, 99)
    for each in packed:
        after = after.after(each)
    parts = pack_record(before, packed, after, max_bytes)
    assert all(len(part) <= max_bytes for part in parts)
    headers = [header_of(part) for part in parts]
    assert [header.part for header in headers] == list(range(headers[0].of))
    assert {(each.epoch, each.turn, each.before, each.after) for each in headers} == {(7, 42, 99, after.crc)}
    found: dict[bytes, bytes] = {}
    chain = before
    for body in batches_in(body_of(parts)):
        chain = chain.after(body)
        apply_changes(body, Dictionary(found))
    assert (found, chain) == (rows, after)


def record_of(*batches: bytes, max_bytes: int = 1 << 20) -> list[bytes]:
    return pack_record(Chain(), list(batches), Chain(), max_bytes)


@pytest.mark.parametrize("max_bytes", [200, 1 << 20])
def test_large_record_is_compressed(max_bytes: int) -> None:
    batch = b"".join(b'{"task":%d,"state":"done"}' % number for number in range(1000))
    parts = record_of(batch, max_bytes=max_bytes)
    assert {header_of(part).kind for part in parts} == {COMPRESSED}
    assert sum(map(len, parts)) < len(batch) / 2
    assert list(batches_in(body_of(parts))) == [batch]


@pytest.mark.parametrize("size", [COMPRESSED_FROM_BYTES - 5, 100_000])
def test_record_that_would_not_get_smaller_is_not_compressed(size: int) -> None:
    batch = bytes(size) if size < COMPRESSED_FROM_BYTES else random.Random(1).randbytes(size)
    (part,) = record_of(batch)
    assert (header_of(part).kind, list(batches_in(body_of([part])))) == (BATCHES, [batch])


def test_record_of_format_1_is_read() -> None:
    (part,) = record_of(b"changes")
    old = part[:1] + b"\1" + part[2:]
    assert header_of(old).format == 1
    assert list(batches_in(body_of([old]))) == [b"changes"]


def test_damaged_compressed_record() -> None:
    (part,) = record_of(bytes(COMPRESSED_FROM_BYTES))
    head, size, block = part[:30], part[30:34], part[34:]
    for body, reason in (
        (size[:3], "cut off"),
        (size + block[:-1], "cannot be decompressed"),
        (b"\xff" + size[1:] + block, "cannot be 42"),
        (b"\0\0\0\1" + block, "cannot be decompressed"),
    ):
        with pytest.raises(Damaged, match=reason):
            body_of([head + body])


@given(st.lists(batches, max_size=4))
def test_store_of_a_follower_is_that_of_the_owner(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[list[tuple[str, ...]]]]
) -> None:
    rows: dict[bytes, bytes] = {}
    store = ReplicatedStore(tmp_path_factory.mktemp("store"))
    for number, record in enumerate(records):
        packed = [logged(batch, rows) for batch in record]
        store.apply(map(memoryview, packed), Position(number + 1))
    assert rows_of(store) == rows
    assert store.position == Position(len(records))
    store.close()


@given(batches.filter(any), st.data())
def test_cut_off_changes_are_found(batches: list[list[tuple[str, ...]]], data: st.DataObject) -> None:
    packed = logged([change for batch in batches for change in batch], {})
    ends = set()
    at = 0
    while at < len(packed):
        at += (
            7
            + int.from_bytes(packed[at + 1 : at + 3], "big")
            + int.from_bytes(packed[at + 3 : at + 7], "big")
        )
        ends.add(at)
    cut = data.draw(st.integers(1, len(packed) - 1).filter(lambda cut: cut not in ends))
    with pytest.raises(CorruptRecord, match="cut off"):
        apply_changes(packed[:cut], Dictionary({}))


def test_one_change_more_is_another_checksum() -> None:
    assert Chain(1, 0, 0).after(b"").crc != Chain(1, 0, 0).crc
    assert Chain(1, 0, 0).after(b"a").after(b"b").crc != Chain(1, 0, 0).after(b"b").after(b"a").crc


@pytest.mark.parametrize(
    "record", [b"", b"\1", bytes(30), b"\3" + bytes(29), b"hello, this is another program"]
)
def test_other_bytes_are_no_record(record: bytes) -> None:
    with pytest.raises(Damaged):
        header_of(record)


@pytest.mark.parametrize("body", [b"\0\0\0", b"\0\0\0\2a"])
def test_cut_off_body(body: bytes) -> None:
    with pytest.raises(Damaged, match="cut off"):
        list(batches_in(memoryview(body)))


def test_unknown_change() -> None:
    with pytest.raises(CorruptRecord, match="unknown kind 9"):
        apply_changes(b"\x09" + bytes(6), Dictionary({}))


def test_fence_tells_who_and_which_epoch() -> None:
    record = fence_record(5, "n1")
    assert (header_of(record).epoch, node_of(record)) == (5, "n1")
    assert Chain(4, 10, 1).after_fence(record)[:2] == (5, 10)


def test_position_is_read_back(tmp_path: Path) -> None:
    position = Position(9, Chain(3, 8, 7), 6)
    assert Position.unpack(position.pack()) == position
    store = ReplicatedStore(tmp_path / "a")
    store.apply((), position)
    store.close()
    store = ReplicatedStore(tmp_path / "a")
    assert store.position == store.flushed == position
    store.close()
    with pytest.raises(Damaged):
        Position.unpack(b"short")


def test_row_that_is_too_large_for_the_log() -> None:
    with pytest.raises(ValueError, match="too large"):
        LoggedBatch(Dictionary({})).put(bytes(65536), b"")


def test_record_of_a_later_format_is_not_read() -> None:
    for record in (fence_record(5, "n1"), pack_record(Chain(), [b"x"], Chain(), 100)[0]):
        newer = record[:1] + bytes([FORMAT + 1]) + record[2:]
        for of_any_layout in (newer, newer[:2]):
            with pytest.raises(
                NewerFormat, match=f"in format {FORMAT + 1}, .*up to {FORMAT}: upgrade this node"
            ):
                header_of(of_any_layout)


def test_format_of_records_follows_that_of_the_store() -> None:
    """A version that writes other rows raises both: an older one could not read its records."""
    assert STORE_FORMAT == FORMAT_VERSION
