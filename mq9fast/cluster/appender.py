"""Appends records to a log one at a time, and finds out what became of an append without an answer.

An answer can be lost with a connection or a server. Then the same record is sent again, for the same place.
Either it is stored there now, or the place is taken: then the record that has it is read, and it is either
this one, stored the first time, or one of a node that owns the log now. What the log says about its end
elsewhere is not asked: only appends are in one order.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mq9fast.cluster.log import Deposed, Done, LogClosed, LogError, LogFull, LogRegressed

# Without an answer after this time, the record is sent again.
ANSWER_SECONDS = 1.0
# While an answer leaves something open, the log is asked again after this time.
RETRY_SECONDS = 0.02
# A log that says for so long that it ends before an acknowledged record has lost it. A new leader may say so
# for a moment.
REGRESSED_SECONDS = 10.0


class PlaceTaken(LogError):  # noqa: N818
    """The record belongs behind another one than the last. `last`: that one's number, as the log says."""

    def __init__(self, last: int) -> None:
        super().__init__(f"the last record is {last}")
        self.last = last


Stored = Callable[[int | LogError], None]
Found = Callable[[bytes | LogError | None], None]


class Records(Protocol):
    """What a kind of log has to provide. Each may answer once, later, or never. LogError: ask again."""

    def store(self, record: bytes, expected: int | None, answer: Stored) -> None:
        """Store a record. `answer` gets its sequence number, or PlaceTaken, LogFull, or another LogError."""
        ...

    def find(self, sequence: int, answer: Found) -> None:
        """Read a record. `answer` gets it, None if there is none, or a LogError."""
        ...


@dataclass(slots=True)
class _Append:
    record: bytes
    expected: int | None  # None for a fence
    done: Done
    begun: float
    tries: int = 0
    behind_since: float = 0.0


class Appender:
    """Appends to one log in the running event loop. `end`: the number of the last record that it appended."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._loop = asyncio.get_running_loop()
        self._append: _Append | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.end = 0

    @property
    def unanswered_since(self) -> float | None:
        """See `Log`."""
        return None if self._append is None else self._append.begun

    def append(self, record: bytes, expected: int | None, done: Done) -> None:
        """See `Log.append`. `expected` is None for a fence."""
        assert self._append is None, "one append is under way at a time"
        self._append = _Append(record, expected, done, self._loop.time())
        self._send(self._append)

    async def fence(self, record: bytes) -> int:
        """See `Log.fence`."""
        future: asyncio.Future[int] = self._loop.create_future()

        def done(sequence: int | None, error: LogError | None) -> None:
            if future.done():  # cancelled
                return
            if sequence is not None:
                future.set_result(sequence)
            else:
                future.set_exception(error or LogError("the log gave no reason"))

        self.append(record, None, done)
        return await future

    def resend(self) -> None:
        """The connection was lost and is there again: do not wait for an answer."""
        if self._append is not None:
            self._send(self._append)

    def close(self) -> None:
        """Give up the append that is under way."""
        if self._append is not None:
            self._finish(self._append, None, LogClosed("the log was closed"))

    def _send(self, append: _Append) -> None:
        if append is not self._append:
            return
        append.tries += 1
        self._later(ANSWER_SECONDS, append)
        self._records.store(append.record, append.expected, lambda answer: self._answered(append, answer))

    def _later(self, seconds: float, append: _Append) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._send, append)

    def _answered(self, append: _Append, answer: int | LogError) -> None:
        if append is not self._append:
            return
        if isinstance(answer, int):
            self._stored(append, answer)
        elif isinstance(answer, PlaceTaken) and append.expected is not None:
            self._place_taken(append, append.expected, answer.last)
        elif isinstance(answer, LogFull):
            self._finish(append, None, answer)
        else:
            self._later(RETRY_SECONDS, append)

    def _stored(self, append: _Append, sequence: int) -> None:
        if append.expected is not None and sequence != append.expected + 1:
            error = LogRegressed(f"the log stored record {append.expected + 1} as {sequence}")
            self._finish(append, None, error)
        else:
            self.end = sequence
            self._finish(append, sequence, None)

    def _place_taken(self, append: _Append, expected: int, last: int) -> None:
        now = self._loop.time()
        if last >= expected:
            append.behind_since = 0.0
        elif not append.behind_since:
            append.behind_since = now
        elif now - append.behind_since > REGRESSED_SECONDS:
            self._finish(append, None, LogRegressed(f"the log ends at {last} and had a record {expected}"))
            return
        # What has the place may not be durable yet, or never become so.
        self._later(ANSWER_SECONDS, append)
        self._records.find(expected + 1, lambda found: self._found(append, expected, found))

    def _found(self, append: _Append, expected: int, found: bytes | LogError | None) -> None:
        if append is not self._append:
            return
        if found is None or isinstance(found, LogError):
            self._later(RETRY_SECONDS, append)
        elif found == append.record:
            self._stored(append, expected + 1)
        else:
            self._finish(append, None, Deposed(f"another node has appended record {expected + 1}"))

    def _finish(self, append: _Append, sequence: int | None, error: LogError | None) -> None:
        self._append = None
        if self._timer is not None:
            self._timer.cancel()
        append.done(sequence, error)
