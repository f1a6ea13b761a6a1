"""Syncing in threads covers everything that was written, or leaves it to RocksDB."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mq9fast.errors import StoreError
from mq9fast.storage import broker_state
from mq9fast.storage.rocks import RocksStore
from tests.support.value_log import FIRST, KEYS, large, open_store, put


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RocksStore]:
    """A store with a synced large value, so that its files are known and not new."""
    monkeypatch.setattr(broker_state, "SYNC_SECONDS", 3600)
    store = open_store(tmp_path / "data", "always")
    put(store, {KEYS[0]: large(0)})
    assert not store.begin_sync()
    store.sync()
    yield store
    store.close()


def test_values_and_log_are_synced(store: RocksStore) -> None:
    for key, value in ((KEYS[1], b"\1small"), (KEYS[2], large(2)), (KEYS[3], b"\1small")):
        put(store, {key: value})
        before = store.synced_sequence
        assert store.begin_sync()
        assert store.finish_sync()
        assert before < store.synced_sequence == store.written_sequence


def test_what_is_written_during_a_sync_is_not_synced(store: RocksStore) -> None:
    put(store, {KEYS[1]: large(1)})
    begun = store.written_sequence
    assert store.begin_sync()
    put(store, {KEYS[2]: large(2)})
    assert store.finish_sync()
    assert store.synced_sequence == begun
    assert store.begin_sync()
    assert store.finish_sync()
    assert store.synced_sequence == store.written_sequence > begun


def test_nothing_to_sync_is_left_to_rocksdb(store: RocksStore) -> None:
    assert not store.begin_sync()


def test_new_file_of_the_log_is_left_to_rocksdb(store: RocksStore) -> None:
    """An fsync of the file before would say nothing about what RocksDB writes to the new one."""
    store._db.flush(True)
    put(store, {KEYS[1]: b"\1small"})
    assert not store.begin_sync()
    store.sync()
    put(store, {KEYS[2]: b"\1small"})
    assert store.begin_sync()
    assert store.finish_sync()


def test_new_segment_is_left_to_the_value_log(store: RocksStore) -> None:
    """Its directory has to be synced too."""
    store.values.complete_active()
    put(store, {KEYS[1]: large(1)})
    assert not store.begin_sync()
    store.sync()
    put(store, {KEYS[2]: large(2)})
    assert store.begin_sync()
    assert store.finish_sync()


def test_deleted_segment_is_an_error(store: RocksStore, tmp_path: Path) -> None:
    put(store, {KEYS[1]: large(1)})
    assert store.begin_sync()
    (tmp_path / "data" / FIRST).unlink()
    with pytest.raises(StoreError, match="was deleted from the data directory"):
        store.finish_sync()
    store.detach()
    store.reopen(0, compact=True)
    store.attach()
    store.resume()


def test_deleted_log_is_left_to_rocksdb(store: RocksStore, tmp_path: Path) -> None:
    put(store, {KEYS[1]: large(1)})
    assert store.begin_sync()
    for file in (tmp_path / "data").glob("*.log"):
        file.rename(file.with_suffix(".moved"))
    assert not store.finish_sync()
    with pytest.raises(StoreError, match="were deleted from the data directory"):
        store.sync()
    for file in (tmp_path / "data").glob("*.moved"):
        file.rename(file.with_suffix(".log"))
    store.resume()
