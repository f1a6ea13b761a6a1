"""Which rows may point into a segment of the value log, so that a drained segment is found."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from mq9fast.errors import ReadError
from mq9fast.storage import key_spans, layout, segment, value_log
from mq9fast.storage.key_spans import MAX_SPANS, MIN_IDS, KeySpans
from mq9fast.storage.rocks import RocksStore
from tests.support.data_directory import flip_byte
from tests.support.stored_rows import batch_key, message_key
from tests.support.value_log import large, open_store, put


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RocksStore]:
    """A store with two complete segments: messages 0 to 9 of two mailboxes, then 10 to 19 of one."""
    monkeypatch.setattr(segment, "MAX_SEGMENT_BYTES", 1 << 20)
    store = open_store(tmp_path / "data")
    for number in range(10):
        put(store, {message_key(7, 2, number): large(1), batch_key(5, 1, number): large(2, 3000)})
    store.values.complete_active()
    for number in range(10, 20):
        put(store, {message_key(7, 2, number): large(3)})
    store.values.complete_active()
    yield store
    store.close()


def is_drained(store: RocksStore, number: int) -> bool:
    spans = store.values.key_spans(number)
    assert spans is not None
    # A call whose time is up does one look.
    while (drained := spans.drained(store.scan_stored, 0.0)) is None:
        pass
    return drained


def delete(store: RocksStore, *keys: bytes) -> None:
    batch = store.new_batch()
    for key in keys:
        batch.delete(key)
    store.write(batch)


def test_segment_is_drained_with_its_last_row(store: RocksStore) -> None:
    # Rows of others, before, between and behind those of the segment, do not matter.
    put(store, {message_key(4, 0, 0): b"\1", message_key(6, 0, 0): b"\1", message_key(7, 1, 5): b"\1"})
    assert not is_drained(store, 1)
    delete(store, *(message_key(7, 2, number) for number in range(10)))
    assert not is_drained(store, 1)
    delete(store, *(batch_key(5, 1, number) for number in range(9)))
    assert not is_drained(store, 1)
    delete(store, batch_key(5, 1, 9))
    assert is_drained(store, 1)
    assert is_drained(store, 1)
    assert not is_drained(store, 2)


def test_ended_mailbox_drains_segments(store: RocksStore) -> None:
    batch = store.new_batch()
    batch.delete_range(message_key(7, 0, 0), message_key(8, 0, 0))
    store.write(batch)
    assert is_drained(store, 2)
    assert not is_drained(store, 1)


def test_rows_that_are_known_to_be_gone_are_not_looked_for(store: RocksStore) -> None:
    """RocksDB steps over all rows of a deleted range, once for each look."""
    scans: list[bytes] = []

    def scan(first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        scans.append(first)
        return store.scan_stored(first, end)

    store.values.note_gone(layout.ranks_of(7))
    store.values.forget_gone()
    first, second = store.values.key_spans(1), store.values.key_spans(2)
    assert first is not None and second is not None
    assert second.drained(scan, 0.0)
    assert scans == []
    assert not first.drained(scan, 0.0)
    assert scans == [batch_key(5, 1, 0)]


def test_what_is_gone_is_not_known_of_a_store_that_failed(store: RocksStore) -> None:
    store.values.note_gone(layout.ranks_of(7))
    store.values.reopened([1, 2])
    put(store, {message_key(7, 2, 20): large(3)})
    store.values.complete_active()
    store.values.forget_gone()
    assert not is_drained(store, 3)


def test_segment_whose_rows_cannot_be_read_is_not_drained(store: RocksStore, tmp_path: Path) -> None:
    """Not being found is not enough: the scan has to say that it has reached the end."""
    store._db.flush(True)
    (table,) = (tmp_path / "data").rglob("*.sst")
    flip_byte(table, 10)
    with pytest.raises(ReadError):
        is_drained(store, 1)
    with pytest.raises(ReadError):
        is_drained(store, 1)


def test_look_is_at_everything_if_fewer_ids_are_not_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_spans, "LOOK_SECONDS", 0.0)
    spans, looks = KeySpans(), []
    spans.add([(message_key(1, 2, 0), message_key(1, 2, 1_000_000))])

    def scan(first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        looks.append(first)
        return iter(())

    while spans.drained(scan, 0.0) is None:
        pass
    assert looks == [message_key(1, 2, 0), message_key(1, 2, MIN_IDS)]


def test_nothing_is_known_of_what_another_broker_wrote_or_a_failed_store_may_have_again(
    store: RocksStore,
) -> None:
    assert store.values.key_spans(3) is None
    store.values.reopened([1, 2])
    assert store.values.key_spans(1) is store.values.key_spans(2) is None
    put(store, {message_key(7, 2, 20): large(3)})
    store.values.complete_active()
    assert not is_drained(store, 3)


def test_segment_of_very_many_mailboxes_is_not_remembered(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_SEGMENT_BYTES", 16 << 20)
    for count, is_known in ((MAX_SPANS - 1, True), (1, True), (1, False), (1, False)):
        first = store.values.size_bytes()
        put(store, {message_key(first + number, 2, 0): large(0) for number in range(count)})
        spans = store.values._spans[3]
        assert spans.too_many is not is_known


def test_spans_of_all_segments_are_limited(store: RocksStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fixture has three.
    monkeypatch.setattr(value_log, "MAX_SPANS_OF_ALL", 5)
    for number, uids, is_known in ((3, (1, 2), True), (4, (3,), False)):
        put(store, {message_key(uid, 2, 0): large(0) for uid in uids})
        store.values.complete_active()
        assert (store.values.key_spans(number) is not None) is is_known
    store.values.forget(1)
    put(store, {message_key(8, 2, 0): large(0)})
    assert store.values.key_spans(5) is not None


def test_looks_cover_the_spans_in_small_parts_and_go_on_where_they_ended() -> None:
    spans = KeySpans()
    last = 3_000_000
    for first, end in ((500, 500), (100, 400), (last, last)):
        spans.add([(message_key(1, 2, first), batch_key(1, 2, end))])
    asked: list[tuple[bytes, bytes]] = []
    row = message_key(1, 2, 1000)

    def scan(first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        asked.append((first, end))
        return iter([(row, b"")] if first <= row < end else [])

    while (drained := spans.drained(scan, 0.0)) is None:
        pass
    assert not drained
    assert not spans.drained(scan, 0.0)
    assert asked[-1][0] == row
    row = b""
    while (drained := spans.drained(scan, 0.0)) is None:
        pass
    assert drained
    # Without a gap, and soon many ids at once where there are no rows.
    assert asked[0][0] == message_key(1, 2, 100) and asked[0][1] == message_key(1, 2, 100 + MIN_IDS)
    assert all(now[0] in {before[1], message_key(1, 2, 1000)} for before, now in pairwise(asked))
    assert asked[-1][1] == batch_key(1, 2, last) + b"\0"
    assert len(asked) < 1000
