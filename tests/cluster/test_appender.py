"""An append that gets no answer, or an unclear one: `Appender` finds out what became of it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mq9fast.cluster import appender
from mq9fast.cluster.appender import Found, Stored
from mq9fast.cluster.log import Deposed, Log, LogClosed, LogError, LogFull, LogRegressed
from tests.support.memory_log import MemoryLog, MemoryRecords


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(appender, "RETRY_SECONDS", 0.001)


class Lossy(MemoryLog):
    """Loses the answer of each first try; `stores`: the record is stored all the same."""

    stores = True

    def __init__(self, records: MemoryRecords) -> None:
        super().__init__(records)
        self.tries = 0
        self.finds = 0

    def store(self, record: bytes, expected: int | None, answer: Stored) -> None:
        self.tries += 1
        if self.tries > 1:
            super().store(record, expected, answer)
        elif self.stores:
            super().store(record, expected, lambda _: None)

    def find(self, sequence: int, answer: Found) -> None:
        self.finds += 1
        if self.finds > 1:
            super().find(sequence, answer)
        else:
            answer(None)


async def append(log: Log, record: bytes, expected: int) -> int:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def done(sequence: int | None, error: LogError | None) -> None:
        if sequence is None:
            assert error is not None
            future.set_exception(error)
        else:
            future.set_result(sequence)

    log.append(record, expected, done)
    return await future


def run(case: Callable[[MemoryRecords], Awaitable[None]]) -> None:
    async def main() -> None:
        await case(MemoryRecords())

    asyncio.run(main())


def test_stored_and_its_answer_lost() -> None:
    async def case(records: MemoryRecords) -> None:
        log = Lossy(records)
        assert await append(log, b"one", 0) == 1 == log.end()
        assert (records.records, log.tries) == ([b"one"], 3)

    run(case)


def test_not_stored_and_no_answer() -> None:
    async def case(records: MemoryRecords) -> None:
        log = Lossy(records)
        log.stores = False
        assert await append(log, b"one", 0) == 1
        assert records.records == [b"one"]

    run(case)


def test_place_taken_by_another_node() -> None:
    async def case(records: MemoryRecords) -> None:
        log = MemoryLog(records)
        assert await MemoryLog(records).fence(b"fence") == 1
        with pytest.raises(Deposed):
            await append(log, b"one", 0)
        assert records.records == [b"fence"]

    run(case)


def test_full_log_refuses_until_it_is_trimmed() -> None:
    async def case(records: MemoryRecords) -> None:
        log, records.max_bytes = MemoryLog(records), 5
        assert await append(log, b"one", 0) == 1
        with pytest.raises(LogFull):
            await append(log, b"two", 1)
        await log.trim(2)
        assert await append(log, b"two", 1) == 2

    run(case)


def test_log_that_lost_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appender, "REGRESSED_SECONDS", 0.05)

    async def case(records: MemoryRecords) -> None:
        log = MemoryLog(records)
        assert await append(log, b"one", 0) == 1
        records.records.clear()
        with pytest.raises(LogRegressed, match="ends at 0 and had a record 1"):
            await append(log, b"two", 1)

    run(case)


def test_close_gives_up() -> None:
    async def case(records: MemoryRecords) -> None:
        log = MemoryLog(records)
        log.is_away = True
        waiting = asyncio.create_task(append(log, b"one", 0))
        await asyncio.sleep(0)
        assert log.unanswered_since is not None
        await log.close()
        with pytest.raises(LogClosed):
            await waiting
        assert log.unanswered_since is None

    run(case)
