"""The value log of a RocksStore: large values in segment files, found again after a restart."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.storage.value_format import pack_segment_head
from mq9fast.errors import ReadError, StoreError
from mq9fast.storage import layout, segment
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.segment import open_for_reading, segment_name
from mq9fast.storage.value_log import MAX_OPEN, ValueLog, delete_segments
from tests.support.data_directory import flip_byte, rows_of
from tests.support.stored_rows import segment_head, value_pointer, value_record
from tests.support.value_log import ALL, FIRST, KEYS, large, open_store, put, rows_of_segments


def segments_in(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob("values-*"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def open_again(path: Path) -> Iterator[Callable[[], RocksStore]]:
    """Open the store in `path`, closing it first if it is open."""
    stores: list[RocksStore] = []

    def open_again() -> RocksStore:
        if stores:
            stores.pop().close()
        stores.append(open_store(path))
        return stores[-1]

    yield open_again
    for store in stores:
        store.close()


def test_large_values_are_in_a_segment_and_read_back(
    open_again: Callable[[], RocksStore], path: Path
) -> None:
    store = open_again()
    rows = {KEYS[0]: large(0), KEYS[1]: b"\1small", KEYS[2]: large(2)}
    put(store, rows)
    content = segment_head(1) + value_record(KEYS[0], large(0)) + value_record(KEYS[2], large(2))
    assert (path / FIRST).read_bytes() == content
    assert store.values.size_bytes() == len(content)
    pointers = {
        KEYS[0]: value_pointer(large(0), 1, 32 + 34, 1985),
        KEYS[2]: value_pointer(large(2), 1, 32 + 34 + 2001 + 34, 1985),
    }
    for _ in range(2):
        assert dict(store.scan(*ALL)) == rows
        assert {key: store.get(key) for key in rows} == rows
        assert dict(store.scan_stored(*ALL)) == rows | pointers
        assert store.points_to(KEYS[0], 1, 66) and not store.points_to(KEYS[0], 1, 67)
        assert not store.points_to(KEYS[1], 1, 66) and not store.points_to(KEYS[3], 1, 66)
        store = open_again()
    assert rows_of_segments(store) == [1]


def test_full_segment_is_followed_by_another(
    open_again: Callable[[], RocksStore], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_SEGMENT_BYTES", 1 << 20)
    store = open_again()
    written = {}
    for number, size in enumerate((2000, 600_000, 600_000, 400_000, 3_000_000, 2000)):
        written[KEYS[number]] = large(number, size)
        put(store, {KEYS[number]: large(number, size)})
    # A batch is in one segment. It may be larger than a segment usually is.
    assert rows_of_segments(store) == [1, 2, 3, 4]
    assert segments_in(path) == [segment_name(number) for number in (1, 2, 3, 4)]
    assert list(store.values.complete()) == [1, 2, 3]
    store.sync()
    assert dict(store.scan(*ALL)) == written
    store = open_again()
    assert dict(store.scan(*ALL)) == written
    assert list(store.values.complete()) == [1, 2, 3, 4]
    put(store, {KEYS[6]: large(6)})
    assert segments_in(path)[-1] == segment_name(5)


def test_small_disk_gets_small_segments(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "SHARE_OF_FREE_SPACE", 1 << 60)
    path.mkdir()
    opened = segment.Segment(path, 1)
    assert opened.max_bytes == segment.MIN_SEGMENT_BYTES
    opened.close()


def test_start_deletes_files_that_no_row_names(open_again: Callable[[], RocksStore], path: Path) -> None:
    put(open_again(), {KEYS[0]: large(0)})
    # A kill leaves these: a segment before its row was written, and a copy that did not replace a segment.
    (path / segment_name(7)).write_bytes(segment_head(7) + value_record(KEYS[1], large(1)))
    (path / "values-00000001.tmp").write_bytes(b"half a copy")
    for foreign in ("values-1.seg", "values-00000003.segment"):
        (path / foreign).write_bytes(b"not ours")
    store = open_again()
    assert segments_in(path) == [FIRST, "values-00000003.segment", "values-1.seg"]
    assert store.get(KEYS[0]) == large(0)
    put(store, {KEYS[1]: large(2)})
    assert open_again().get(KEYS[1]) == large(2)


def test_segment_that_existed_before_is_not_overwritten(
    open_again: Callable[[], RocksStore], path: Path
) -> None:
    store = open_again()
    (path / FIRST).write_bytes(b"not ours")
    with pytest.raises(StoreError, match=r"File exists.*values-00000001\.seg"):
        put(store, {KEYS[0]: large(0)})
    assert (path / FIRST).read_bytes() == b"not ours"
    store.resume()
    put(store, {KEYS[0]: large(0)})
    assert store.get(KEYS[0]) == large(0)
    assert rows_of_segments(store) == [2]


def test_damaged_value_is_a_read_error(open_again: Callable[[], RocksStore], path: Path) -> None:
    store = open_again()
    put(store, {KEYS[0]: large(0), KEYS[1]: large(1)})
    flip_byte(path / FIRST, 32 + 34 + 500)
    failures: list[tuple[bytes, bytes, str]] = []
    store.read_failed = lambda *failure: failures.append(failure)
    with pytest.raises(ReadError, match="the value of 2001 bytes at byte 66 of segment 1 is damaged"):
        store.get(KEYS[0])
    rows = store.scan(*ALL)
    with pytest.raises(ReadError, match="is damaged"):
        next(rows)
    reason = "the value of 2001 bytes at byte 66 of segment 1 is damaged"
    assert failures == [(KEYS[0], KEYS[0] + b"\0", reason), (KEYS[0], ALL[1], reason)]
    assert store.get(KEYS[1]) == large(1)


def test_forgotten_segment_is_deleted(open_again: Callable[[], RocksStore], path: Path) -> None:
    store = open_again()
    put(store, {KEYS[0]: large(0)})
    store.values.complete_active()
    batch = store.new_batch()
    batch.delete(KEYS[0])
    batch.delete(layout.segment_key(1))
    store.write(batch)
    store.sync()
    delete_segments([store.values.close_file(1)])
    store.values.forget(1)
    assert (store.values.size_bytes(), store.values.complete(), segments_in(path)) == (0, {}, [])
    put(store, {KEYS[1]: large(1)})
    assert segments_in(path) == [segment_name(2)]
    assert open_again().get(KEYS[1]) == large(1)


def test_killed_store_keeps_its_values(open_again: Callable[[], RocksStore], path: Path) -> None:
    store = open_again()
    put(store, {KEYS[0]: large(0)})
    killed = Path(shutil.copytree(path, path.with_name("killed")))
    again = open_store(killed)
    assert dict(again.scan(*ALL)) == {KEYS[0]: large(0)}
    again.close()
    assert rows_of(killed, b"l") == {layout.segment_key(1): b""}


def test_open_segments_have_a_limit(path: Path) -> None:
    """A quarter of the descriptors of the store, but at least one."""
    for max_files, limit in ((-1, MAX_OPEN), (400, 101), (0, 1)):
        for number in range(limit + 2 if limit < MAX_OPEN else 0):
            path.mkdir(exist_ok=True)
            (path / segment_name(number)).write_bytes(pack_segment_head(number))
        log = ValueLog(path, max_files)
        before = open_files()
        for number in range(limit + 2 if limit < MAX_OPEN else 0):
            assert not log.reader.is_readable(value_pointer(b"x" * 2000, number, 66))
        assert open_files() - before == (limit if limit < MAX_OPEN else 0)
        log.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_replaced_segment_is_not_read(tmp_path: Path) -> None:
    """Another file under the name of a segment may have an intact value of another row at the same place."""
    path = tmp_path / "values-00000007.seg"
    path.write_bytes(pack_segment_head(8) + b"a value of another segment")
    with pytest.raises(CorruptRecord, match=r"values-00000007\.seg does not begin as this segment does"):
        open_for_reading(path, 7)
    path.write_bytes(pack_segment_head(7))
    os.close(open_for_reading(path, 7))
