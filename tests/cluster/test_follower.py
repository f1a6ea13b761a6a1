"""A follower finds out whether its store is a beginning of the log, and goes on from there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mq9fast.cluster.follower import Diverged, TooOld
from mq9fast.cluster.log import Deposed, LogError, LogRegressed
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.record import Damaged, fence_record, pack_record
from mq9fast.cluster.replicated_store import ReplicatedStore
from tests.support.memory_log import MemoryLog, MemoryRecords
from tests.support.owner import become_owner, following, rows_of


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[str], ReplicatedStore]]:
    stores: list[ReplicatedStore] = []

    def open_store(name: str) -> ReplicatedStore:
        stores.append(ReplicatedStore(tmp_path / name))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def write(store: ReplicatedStore, **rows: str) -> None:
    """Write rows as the owner does, without an append."""
    batch = store.new_batch()
    for key, value in rows.items():
        batch.put(key.encode(), value.encode())
    store.write(batch)


async def append(store: ReplicatedStore) -> None:
    assert store.writer is not None
    ended: asyncio.Queue[LogError | None] = asyncio.Queue()
    store.writer.append(ended.put_nowait)
    error = await ended.get()
    if error is not None:
        raise error


async def catch_up(log: MemoryLog, store: ReplicatedStore, upto: int) -> None:
    async with following(log, store) as follower:
        await follower.reach(upto)


Open = Callable[[str], ReplicatedStore]


def run(case: Callable[[MemoryRecords], Awaitable[None]]) -> None:
    async def main() -> None:
        await case(MemoryRecords())

    asyncio.run(main())


def test_early_batches_parts_and_empty_records(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store, copy = MemoryLog(records, max_record=100), open_store("a"), open_store("b")
        await become_owner(log, store, 1)
        write(store, a="1")
        write(store, b="2" * 500)
        assert store.writer is not None
        appended = asyncio.create_task(append(store))
        await asyncio.sleep(0)
        # The next group writes while the first one's record, in eight parts, is under way.
        write(store, a="3")
        await appended
        await append(store)
        await append(store)
        assert len(records.records) == 1 + 8 + 1 + 1 == log.end()
        await catch_up(log, copy, log.end())
        assert rows_of(copy) == rows_of(store) == {b"a": b"3", b"b": b"2" * 500}
        assert copy.position.chain == store.position.chain
        assert copy.position.sequence == 11

    run(case)


def test_store_that_has_a_part_of_a_record(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store, killed = MemoryLog(records), open_store("a"), open_store("b")
        await become_owner(log, store, 1)
        await catch_up(log, killed, 1)
        # It has the first batch of the record, and lost the second.
        killed.writer = LogWriter(log, killed.position.chain)
        write(killed, a="1")
        write(store, a="1")
        write(store, b="2")
        await append(store)
        killed.writer = None
        await catch_up(log, killed, 2)
        assert rows_of(killed) == {b"a": b"1", b"b": b"2"}

    run(case)


def test_what_the_log_never_got_is_found(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store = MemoryLog(records), open_store("a")
        await become_owner(log, store, 1)
        write(store, a="1")
        await append(store)
        write(store, a="lost")
        await MemoryLog(records).fence(fence_record(2, "n2"))
        store.writer = None
        with pytest.raises(Diverged, match="as record 3 that the log does not have"):
            await catch_up(log, store, 3)

    run(case)


def test_batch_that_was_gathered_behind_a_refused_record(open_store: Open) -> None:
    """The owner was deposed while one record was under way and the next one gathered. Its store says that it
    stands at the next one's place, where the new owner has a record already."""

    async def case(records: MemoryRecords) -> None:
        old, store = MemoryLog(records), open_store("a")
        await become_owner(old, store, 1)
        write(store, a="1")
        await append(store)
        old.is_away = True
        write(store, a="2")
        under_way = asyncio.create_task(append(store))
        await asyncio.sleep(0)
        write(store, a="3")
        other = open_store("b")
        await become_owner(MemoryLog(records), other, 2)
        write(other, b="4")
        await append(other)
        under_way.cancel()
        with pytest.raises(Diverged):
            await catch_up(MemoryLog(records), store, 4)

    run(case)


def test_another_batch_in_the_same_place_is_found(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, one, two = MemoryLog(records), open_store("a"), open_store("b")
        await become_owner(log, one, 1)
        await catch_up(log, two, 1)
        two.writer = LogWriter(log, two.position.chain)
        write(two, a="never appended")
        two.writer = None
        write(one, a="1")
        await append(one)
        with pytest.raises(Diverged):
            await catch_up(log, two, 2)

    run(case)


def test_record_whose_owner_died_between_its_parts(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store, copy = MemoryLog(records, max_record=100), open_store("a"), open_store("b")
        await become_owner(log, store, 1)
        write(store, a="1" * 500)
        assert store.writer is not None
        store.writer.append(lambda error: None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await log.close()
        assert 1 < len(records.records) < 8
        new = MemoryLog(records)
        await become_owner(new, copy, 2)
        write(copy, b="2")
        await append(copy)
        assert rows_of(copy) == {b"b": b"2"}
        store.writer = None
        with pytest.raises(Diverged):
            await catch_up(new, store, new.end())

    run(case)


def test_record_of_a_deposed_owner_is_skipped(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, old, copy = MemoryLog(records), open_store("a"), open_store("b")
        await become_owner(log, old, 1)
        chain = old.position.chain
        await MemoryLog(records).fence(fence_record(2, "n2"))
        # No log takes this record now; if one did, no node would apply it.
        records.records.append(pack_record(chain, [b""], chain.after(b""), 1000)[0])
        async with following(log, copy) as follower:
            await follower.reach(3)
            assert follower.skipped_records == 1
        assert copy.position.chain.epoch == 2

    run(case)


def test_fence_that_comes_behind_a_later_one(open_store: Open) -> None:
    """The other nodes skip it: what its node would append under it would be lost, or end their following."""

    async def case(records: MemoryRecords) -> None:
        first, late = open_store("a"), open_store("b")
        await become_owner(MemoryLog(records), first, 2)
        with pytest.raises(Deposed, match="epoch 2 began before the fence of epoch 1"):
            await become_owner(MemoryLog(records), late, 1)
        assert late.writer is None

    run(case)


def test_log_that_went_backwards(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store = MemoryLog(records), open_store("a")
        await become_owner(log, store, 1)
        write(store, a="1")
        await append(store)
        store.confirm(log.end())
        store.writer = None
        records.records.clear()
        with pytest.raises(LogRegressed, match="had record 2, and a record that was added now is 1"):
            await become_owner(MemoryLog(records), store, 2)
        await MemoryLog(records).fence(fence_record(3, "n3"))
        with pytest.raises(LogRegressed, match="had record 2, and now it is another one"):
            await catch_up(log, store, 2)

    run(case)


def test_batches_behind_a_fence_are_found_at_once(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store = MemoryLog(records, max_record=100), open_store("a")
        await become_owner(log, store, 1)
        write(store, a="1" * 500)
        assert store.writer is not None
        store.writer.append(lambda error: None)
        write(store, b="early, behind a record of eight parts")
        await log.close()
        store.writer = None
        with pytest.raises(Diverged, match="which the log never got"):
            await become_owner(MemoryLog(records), store, 2)

    run(case)


def test_second_fence_in_the_place_of_a_record(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store = MemoryLog(records), open_store("a")
        await become_owner(log, store, 1)
        write(store, a="never appended")
        store.writer = None
        await MemoryLog(records).fence(fence_record(1, "n1"))
        with pytest.raises(Diverged):
            await catch_up(log, store, 2)

    run(case)


def test_log_that_was_trimmed_too_far(open_store: Open) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store, late, new = MemoryLog(records), open_store("a"), open_store("b"), open_store("c")
        await become_owner(log, store, 1)
        await catch_up(log, late, 1)
        for value in "123":
            write(store, a=value)
            await append(store)
        await log.trim(2)
        for each in (late, new):
            with pytest.raises(TooOld, match="begins with record 2"):
                await catch_up(log, each, 4)
        await log.trim(4)
        await catch_up(log, store, 4)

    run(case)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record: record[:40] + b"?" + record[41:], "is damaged"),
        (lambda record: record[:20] + b"\x09" + record[21:], "does not follow"),
        (lambda record: b"\x01\0" + b"\0\1\0\2" + record[6:], "is part 1, not 0"),
        (lambda record: record[:6] + b"\x07" + record[7:], "before a fence"),
    ],
)
def test_damaged_record(open_store: Open, change: Callable[[bytes], bytes], reason: str) -> None:
    async def case(records: MemoryRecords) -> None:
        log, store, copy = MemoryLog(records), open_store("a"), open_store("b")
        await become_owner(log, store, 1)
        write(store, a="a value")
        await append(store)
        records.records[-1] = change(records.records[-1])
        with pytest.raises(Damaged, match=reason):
            await catch_up(log, copy, 2)
        assert rows_of(copy) == {}

    run(case)


def test_each_record_is_applied_before_the_next_is_asked_for(open_store: Open) -> None:
    class Watched(MemoryLog):
        async def read(self, first: int) -> AsyncIterator[tuple[int, bytes]]:
            async for sequence, record in super().read(first):
                yield sequence, record
                applied.append((sequence, copy.position.confirmed))

    applied: list[tuple[int, int]] = []
    owner, copy = open_store("a"), open_store("b")

    async def case(records: MemoryRecords) -> None:
        await become_owner(MemoryLog(records), owner, 1)
        for number in range(20):
            write(owner, row=str(number))
            await append(owner)
        async with following(Watched(records), copy) as follower:
            await follower.reach(records.last)
            await asyncio.sleep(0)
        assert len(applied) >= 20 and all(sequence == confirmed for sequence, confirmed in applied)

    run(case)
