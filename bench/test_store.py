"""Benchmarks of the store as the broker uses it: batches of puts, reads by key, scans in order."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.conftest import Measure
from mq9fast.storage.rocks import RocksStore
from tests.support.stored_rows import message_key, message_value

PUTS = 4096
STORED = 100_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "data")
    yield store
    store.close()


def write(store: RocksStore, ids: range, value: bytes) -> None:
    batch = store.new_batch()
    for msg_id in ids:
        batch.put(message_key(1, 2, msg_id), value)
    store.write(batch)


@pytest.mark.parametrize("synced", [False, True], ids=["unsynced", "synced"])
@pytest.mark.parametrize("per_batch", [1, 64, 1024])
def test_put_100_B(measure: Measure, store: RocksStore, per_batch: int, synced: bool) -> None:  # noqa: N802
    """`synced`: with an fsync of the log after each batch."""
    value = message_value(1, b"", b"x" * 100)
    puts = min(PUTS, 64 * per_batch) if synced else PUTS
    starts = itertools.count(0, puts)

    def put() -> None:
        start = next(starts)
        for at in range(start, start + puts, per_batch):
            write(store, range(at, at + per_batch), value)
            if synced:
                store.sync()

    measure(puts, put, rounds=20)


@pytest.fixture
def full_store(store: RocksStore) -> RocksStore:
    value = message_value(1, b"", b"x" * 100)
    for at in range(0, STORED, 1000):
        write(store, range(at, at + 1000), value)
    return store


@pytest.mark.parametrize("count", [10, 1000, STORED])
def test_scan_100_B(measure: Measure, full_store: RocksStore, count: int) -> None:  # noqa: N802
    first, end = message_key(1, 2, 0), message_key(1, 2, count)

    def scan() -> None:
        assert sum(1 for _ in full_store.scan(first, end)) == count

    measure(count, scan)


def test_get_100_B(measure: Measure, full_store: RocksStore) -> None:  # noqa: N802
    keys = [message_key(1, 2, i * 7919 % STORED) for i in range(1000)]

    def get() -> None:
        for key in keys:
            full_store.get(key)

    measure(len(keys), get)
