"""What is deleted from the log: only what enough stores have on disk."""

import asyncio

from mq9fast.cluster.presence import NodeState
from mq9fast.cluster.trimming import Trimmer, on_disk
from tests.support.memory_log import MemoryLog, MemoryRecords


def nodes(*durable: int, role: str = "standby") -> list[NodeState]:
    return [NodeState(node=f"n{i}", instance="i", durable=each, role=role) for i, each in enumerate(durable)]


def test_as_many_stores_as_copies_have_it() -> None:
    assert on_disk(nodes(5, 9, 7), 2) == 7
    assert on_disk(nodes(5, 9, 7), 3) == 5
    assert on_disk(nodes(5), 2) == 0
    assert on_disk([], 2) == 0


def test_stores_that_do_not_follow_do_not_count() -> None:
    for role in ("deposed", "seeding", "failed", "stopped"):
        assert on_disk([*nodes(5, 7), *nodes(9, 9, role=role)], 2) == 5
    assert on_disk([*nodes(5), *nodes(9, role="failed")], 2) == 0


def log_of(records: MemoryRecords, count: int) -> MemoryLog:
    for number in range(count):
        records.try_store(b"%d" % number, None)
    return MemoryLog(records)


def test_what_is_on_disk_is_kept_for_a_while() -> None:
    async def test() -> None:
        records, durable = MemoryRecords(), [4, 4, 0]
        trimmer = Trimmer(log_of(records, 10), lambda: nodes(*durable), 2, keep_seconds=0.2)
        await trimmer.step(is_full=False)
        assert records.first == 1
        durable[:] = [8, 8, 8]
        await asyncio.sleep(0.25)
        await trimmer.step(is_full=False)
        assert (records.first, trimmer.trimmed) == (4, 4)
        await asyncio.sleep(0.25)
        await trimmer.step(is_full=False)
        assert records.first == 8

    asyncio.run(test())


def test_a_full_log_is_trimmed_at_once() -> None:
    async def test() -> None:
        records = MemoryRecords()
        trimmer = Trimmer(log_of(records, 10), lambda: nodes(6, 3, 0), 2, keep_seconds=1000)
        await trimmer.step(is_full=True)
        assert records.first == 3

    asyncio.run(test())


def test_with_too_few_nodes_nothing_is_deleted() -> None:
    async def test() -> None:
        records = MemoryRecords()
        trimmer = Trimmer(log_of(records, 10), lambda: nodes(6), 2, keep_seconds=0)
        await trimmer.step(is_full=True)
        assert records.first == 1

    asyncio.run(test())
