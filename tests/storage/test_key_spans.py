"""Which rows may point into a segment of the value log, so that a drained segment is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mq9fast.storage import segment
from mq9fast.storage.key_spans import MAX_SPANS, KeySpans
from mq9fast.storage.rocks import RocksStore
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


def first_row(store: RocksStore, number: int) -> bytes | None:
    spans = store.values.key_spans(number)
    assert spans is not None
    return spans.first_row(store.scan_stored)


def delete(store: RocksStore, *keys: bytes) -> None:
    batch = store.new_batch()
    for key in keys:
        batch.delete(key)
    store.write(batch)


def test_segment_is_drained_with_its_last_row(store: RocksStore) -> None:
    # Rows of others, before, between and behind those of the segment, do not matter.
    put(store, {message_key(4, 0, 0): b"\1", message_key(6, 0, 0): b"\1", message_key(7, 1, 5): b"\1"})
    assert first_row(store, 1) == message_key(7, 2, 0)
    delete(store, *(message_key(7, 2, number) for number in range(9)))
    assert first_row(store, 1) == message_key(7, 2, 9)
    delete(store, message_key(7, 2, 9))
    assert first_row(store, 1) == batch_key(5, 1, 0)
    delete(store, *(batch_key(5, 1, number) for number in range(10)))
    assert first_row(store, 1) is None
    assert first_row(store, 2) == message_key(7, 2, 10)


def test_ended_mailbox_drains_segments(store: RocksStore) -> None:
    batch = store.new_batch()
    batch.delete_range(message_key(7, 0, 0), message_key(8, 0, 0))
    store.write(batch)
    assert first_row(store, 2) is None
    assert first_row(store, 1) == batch_key(5, 1, 0)


def test_nothing_is_known_of_what_another_broker_wrote_or_a_failed_store_may_have_again(
    store: RocksStore,
) -> None:
    assert store.values.key_spans(3) is None
    store.values.reopened([1, 2])
    assert store.values.key_spans(1) is store.values.key_spans(2) is None
    put(store, {message_key(7, 2, 20): large(3)})
    assert first_row(store, 3) == message_key(7, 2, 20)


def test_segment_of_very_many_mailboxes_is_not_remembered(
    store: RocksStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "MAX_SEGMENT_BYTES", 16 << 20)
    for count, is_known in ((MAX_SPANS - 1, True), (1, True), (1, False), (1, False)):
        first = store.values.size_bytes()
        put(store, {message_key(first + number, 2, 0): large(0) for number in range(count)})
        spans = store.values._spans[3]
        assert spans.too_many is not is_known


def test_spans_grow_in_any_order() -> None:
    spans = KeySpans()
    keys = [message_key(1, 2, number) for number in range(5)]
    for first, last in ((3, 3), (1, 2), (4, 4)):
        spans.add([(keys[first], keys[last])])
    asked: list[tuple[bytes, bytes]] = []

    def scan(first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        asked.append((first, end))
        return iter(())

    assert spans.first_row(scan) is None
    assert asked == [(keys[1], keys[4] + b"\0")]
