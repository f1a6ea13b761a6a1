"""The store of a node on a log that has lost what it had. `test_log_loses.py` does it to real servers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mq9fast.cluster import regression, replica
from mq9fast.cluster.log import LogRegressed
from mq9fast.cluster.record import fence_record
from mq9fast.cluster.replica import Replica
from tests.support.memory_log import MemoryLog, MemoryRecords

RECORDS = 3
NONE_LEFT = f"the log has no records, and it had record {RECORDS}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "REGRESSED_SECONDS", 0.2)
    monkeypatch.setattr(replica, "AHEAD_SECONDS", 0.2)
    monkeypatch.setattr(regression, "LOOK_SECONDS", 0.02)


class Case:
    """A store that has followed the log to its end. `source`: the address of a node that can be copied."""

    def __init__(self, path: Path) -> None:
        self.records = MemoryRecords()
        self.log = MemoryLog(self.records)
        self.source: str | None = None
        self.replica = Replica(path / "store", -1, "", lambda: self.source, None)

    async def follow(self) -> None:
        for epoch in range(1, RECORDS + 1):
            await self.log.fence(fence_record(epoch, "n1"))
        await self.replica.open(self.log, lambda: None)
        assert self.replica.follower is not None
        await self.replica.follower.reach(RECORDS)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Case], Awaitable[None]]], None]:
    def run(test: Callable[[Case], Awaitable[None]]) -> None:
        async def main() -> None:
            case = Case(tmp_path)
            await case.follow()
            try:
                await asyncio.wait_for(test(case), 60)
            finally:
                await case.replica.close()

        asyncio.run(main())

    return run


Run = Callable[[Callable[[Case], Awaitable[None]]], None]


def test_all_was_purged_and_no_node_can_be_copied(run: Run) -> None:
    async def test(case: Case) -> None:
        await case.replica.close()
        case.records.trim(RECORDS + 1)
        with pytest.raises(LogRegressed, match=NONE_LEFT):
            await case.replica.open(case.log, lambda: None)

    run(test)


@pytest.mark.parametrize(
    ("epochs", "reason"),
    [(range(0), NONE_LEFT), (range(11, 16), f"the log had record {RECORDS}, and now it is another one")],
    ids=["empty", "longer"],
)
def test_store_follows_no_other_log(run: Run, epochs: range, reason: str) -> None:
    async def test(case: Case) -> None:
        await case.replica.close()
        other = MemoryLog(MemoryRecords())
        for epoch in epochs:
            await other.fence(fence_record(epoch, "n1"))
        with pytest.raises(LogRegressed, match=reason):
            await case.replica.open(other, lambda: None)

    run(test)


def test_all_was_purged_and_a_node_serves(run: Run) -> None:
    """It is copied as soon as it has appended something that the copy can begin with."""

    async def test(case: Case) -> None:
        await case.replica.close()
        case.records.trim(RECORDS + 1)
        case.source = "127.0.0.1:1"
        seeds = asyncio.Event()
        opening = asyncio.create_task(case.replica.open(case.log, seeds.set))
        await asyncio.sleep(3 * replica.REGRESSED_SECONDS)
        assert not opening.done() and not seeds.is_set()
        await case.log.fence(fence_record(RECORDS + 1, "n2"))
        await seeds.wait()
        opening.cancel()

    run(test)


@pytest.mark.parametrize("unappended", [1, 2])
def test_log_never_got_what_the_store_has(run: Run, unappended: int) -> None:
    """Its node was the owner. No other owner has to append anything before the store is thrown away."""

    async def test(case: Case) -> None:
        store = await case.replica.take_over(case.log, RECORDS + 1, "n1")
        case.log.is_away = True
        assert store.writer is not None
        for number in range(unappended):
            batch = store.new_batch()
            batch.put(b"key", b"%d" % number)
            store.write(batch)
            if not number:
                store.writer.append(lambda _error: None)
        await case.replica.close()
        await MemoryLog(case.records).fence(fence_record(RECORDS + 2, "n2"))
        case.source = "127.0.0.1:1"
        seeds = asyncio.Event()
        opening = asyncio.create_task(case.replica.open(MemoryLog(case.records), seeds.set))
        await seeds.wait()
        opening.cancel()

    run(test)


def test_log_is_gone_while_the_store_follows(run: Run) -> None:
    async def test(case: Case) -> None:
        following = asyncio.create_task(case.replica.follow())
        case.records.trim(RECORDS + 1)
        case.records.first = 1
        with pytest.raises(LogRegressed, match=NONE_LEFT):
            await following

    run(test)


def test_log_is_gone_when_the_node_takes_over(run: Run) -> None:
    async def test(case: Case) -> None:
        case.log.is_away = True
        case.records.trim(RECORDS + 1)
        case.records.first = 1
        with pytest.raises(LogRegressed, match=NONE_LEFT):
            await case.replica.take_over(case.log, RECORDS + 1, "n1")

    run(test)
