"""A log in memory: `MemoryLog` is a node's handle on the `MemoryRecords` that nodes share."""

import asyncio
from collections.abc import AsyncIterator

from mq9fast.cluster.appender import Appender, Found, PlaceTaken, Stored
from mq9fast.cluster.log import Bounds, LogError, LogFull


class MemoryRecords:
    """The records of a log. `max_bytes`: of all records, 0 for any number."""

    def __init__(self) -> None:
        self.first = 1
        self.records: list[bytes] = []
        self.max_bytes = 0
        self.grown = asyncio.Event()

    @property
    def last(self) -> int:
        return self.first + len(self.records) - 1

    def try_store(self, record: bytes, expected: int | None) -> int | LogError:
        if expected is not None and expected != self.last:
            return PlaceTaken(self.last)
        if self.max_bytes and sum(map(len, self.records)) + len(record) > self.max_bytes:
            return LogFull("the log is full")
        self.records.append(bytes(record))
        self.grown.set()
        self.grown = asyncio.Event()
        return self.last

    def record(self, sequence: int) -> bytes | None:
        return self.records[sequence - self.first] if self.first <= sequence <= self.last else None

    def trim(self, upto: int) -> None:
        del self.records[: max(upto - self.first, 0)]
        self.first = max(self.first, upto)


class MemoryLog:
    """Implements `Log`. `is_away`: the log answers nothing while it is set."""

    def __init__(self, records: MemoryRecords, max_record: int = 1 << 20) -> None:
        self.max_record = max_record
        self.is_away = False
        self._records = records
        self._loop = asyncio.get_running_loop()
        self._appender = Appender(self)
        self.append = self._appender.append
        self.fence = self._appender.fence

    def store(self, record: bytes, expected: int | None, answer: Stored) -> None:
        if not self.is_away:
            self._loop.call_soon(answer, self._records.try_store(record, expected))

    def find(self, sequence: int, answer: Found) -> None:
        if not self.is_away:
            self._loop.call_soon(answer, self._records.record(sequence))

    def end(self) -> int:
        return self._appender.end

    async def bounds(self) -> Bounds:
        return Bounds(self._records.first, self._records.last)

    @property
    def unanswered_since(self) -> float | None:
        return self._appender.unanswered_since

    async def read(self, first: int) -> AsyncIterator[tuple[int, bytes]]:
        sequence = max(first, self._records.first)
        while True:
            while (record := self._records.record(sequence)) is None:
                await self._records.grown.wait()
            yield sequence, record
            sequence += 1

    def read_again(self) -> None:
        pass

    async def trim(self, upto: int) -> None:
        self._records.trim(upto)

    async def close(self) -> None:
        self._appender.close()
