"""When tables are compacted, and compactions that fail."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.storage.compaction import SLACK_BYTES, SLACK_BYTES_IDLE, Compaction
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.store import Store
from tests.support.waiting import wait_until_async


class NoValues:
    """The value log of a store that has only tables."""

    def size_bytes(self) -> int:
        return 0


class FakeTables:
    """A store as compaction uses it. `compact` shrinks it to `left_bytes`, or fails."""

    def __init__(self, size_bytes: int, left_bytes: int = 0) -> None:
        self.values = NoValues()
        self.size_bytes = size_bytes
        self.left_bytes = left_bytes
        self.compactions = 0
        self.failing = False

    def table_bytes(self) -> int:
        return self.size_bytes

    def compact(self, stop: Callable[[], bool]) -> None:
        self.compactions += 1
        if self.failing:
            raise StoreError("the disk is gone")
        self.size_bytes = self.left_bytes


async def compacts(compaction: Compaction, tables: FakeTables, *, idle: bool) -> bool:
    """Whether a compaction starts. Waits for its end."""
    before = tables.compactions
    compaction.start_if_needed(idle=idle)

    async def is_over() -> bool:
        return not compaction.running

    await wait_until_async(is_over)
    return tables.compactions > before


def run(tables: FakeTables, case: Callable[[Compaction, Health], object]) -> None:
    async def go() -> None:
        health = Health()
        compaction = Compaction(cast(Store, tables), MailboxIndex(1, 0), health)
        await case(compaction, health)  # type: ignore[misc]
        compaction.stop()
        compaction.wait()

    asyncio.run(go())


def test_idle_store_is_compacted_with_less_slack() -> None:
    tables = FakeTables(SLACK_BYTES_IDLE)

    async def case(compaction: Compaction, _health: Health) -> None:
        assert not await compacts(compaction, tables, idle=True)
        tables.size_bytes += 1
        assert not await compacts(compaction, tables, idle=False)
        assert await compacts(compaction, tables, idle=True)
        tables.size_bytes = SLACK_BYTES + 1
        assert await compacts(compaction, tables, idle=False)

    run(tables, case)


def test_store_that_did_not_shrink_is_compacted_again_once_it_has_grown() -> None:
    tables = FakeTables(100 << 20, left_bytes=100 << 20)

    async def case(compaction: Compaction, _health: Health) -> None:
        assert await compacts(compaction, tables, idle=True)
        assert not await compacts(compaction, tables, idle=True)
        tables.size_bytes *= 2
        assert await compacts(compaction, tables, idle=True)

    run(tables, case)


def test_failed_compaction_is_a_fault_until_one_succeeds() -> None:
    tables = FakeTables(100 << 20)
    tables.failing = True

    async def case(compaction: Compaction, health: Health) -> None:
        assert await compacts(compaction, tables, idle=True)
        assert health.reasons == ["compacting the store failed: the disk is gone"]
        assert await compacts(compaction, tables, idle=True)
        tables.failing = False
        assert await compacts(compaction, tables, idle=True)
        assert health.ok

    run(tables, case)


def test_failed_compaction_that_is_no_longer_needed_is_no_fault() -> None:
    tables = FakeTables(100 << 20)
    tables.failing = True

    async def case(compaction: Compaction, health: Health) -> None:
        assert await compacts(compaction, tables, idle=True)
        tables.size_bytes = 0
        assert not await compacts(compaction, tables, idle=False)
        assert not health.ok
        assert not await compacts(compaction, tables, idle=True)
        assert health.ok

    run(tables, case)


def test_no_compaction_starts_after_the_stop() -> None:
    tables = FakeTables(100 << 20)

    async def case(compaction: Compaction, _health: Health) -> None:
        compaction.stop()
        assert not await compacts(compaction, tables, idle=True)

    run(tables, case)


def test_compact_compacts_all_shares_of_a_store(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "data")
    for first in range(0, 2000, 100):
        batch = store.new_batch()
        for n in range(first, first + 100):
            batch.put(b"%08d" % n, bytes([n % 251]) * 100)
        store.write(batch)
        store.compact(lambda: False)
    batch = store.new_batch()
    for n in range(1990):
        batch.delete(b"%08d" % n)
    store.write(batch)
    before = store.table_bytes()
    store.compact(lambda: True)
    assert store.table_bytes() >= before
    store.compact(lambda: False)
    assert store.table_bytes() < before // 2
    assert [key for key, _ in store.scan(b"0", b"9")] == [b"%08d" % n for n in range(1990, 2000)]
    store.close()
    with pytest.raises(StoreError):
        store.compact(lambda: False)
    with pytest.raises(StoreError):
        store.table_bytes()
