"""The interface of the replicated log: records in one order, which several nodes read and one may append to.

The rest of the broker uses the log through `Log` only. `jetstream_log.py` implements it.
"""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol


class LogError(Exception):
    """The log could not do what it was asked."""


class LogClosed(LogError):  # noqa: N818
    """The log was closed before it answered: whether it has the record is unknown."""


class LogFull(LogError):  # noqa: N818
    """The log has no space for the record. It may be appended again once the log was trimmed."""


class Deposed(LogError):  # noqa: N818
    """Another node has appended where the record should be: this node owns the log no longer."""


class LogRegressed(LogError):  # noqa: N818
    """The log ends before a record that it has acknowledged."""


class Bounds(NamedTuple):
    """The numbers of the first and the last record. If there is none, `first` is that of the next one."""

    first: int
    last: int

    @property
    def is_empty(self) -> bool:
        """Whether there is no record, or none any more."""
        return self.first > self.last

    def describe(self) -> str:
        """What the log has, as the beginning of a sentence."""
        return "the log has no records" if self.is_empty else f"the log ends at record {self.last}"


Done = Callable[[int | None, LogError | None], None]


class Log(Protocol):
    """Records with sequence numbers that rise by 1. All methods are called in the event loop.

    One node at a time owns the log. It has appended a fence, and from then on each append names the sequence
    number after which its record belongs. So whatever another node still sends is refused.
    """

    max_record: int
    """Bytes of the largest record."""

    def append(self, record: bytes, expected: int, done: Done) -> None:
        """Append a record behind the one with the sequence number `expected`, and behind no other.

        Then `done` is called, from the event loop, with the record's sequence number when it is durable, or
        with the error: LogFull, Deposed, LogRegressed or LogClosed. Without an answer the log is asked again
        until it answers, or `close`. The next append may follow when `done` was called.
        """
        ...

    async def fence(self, record: bytes) -> int:
        """Append a record behind whatever is there; returns its sequence number. Raises LogError."""
        ...

    def end(self) -> int:
        """The sequence number of the last record, according to the last append or fence; 0 before it."""
        ...

    async def bounds(self) -> Bounds:
        """Which records there are, according to one server, which may not know the newest ones or, for a
        moment, be wrong. Bounds(1, 0) if there is no log. Raises LogError."""
        ...

    @property
    def unanswered_since(self) -> float | None:
        """When the append that the log has not answered yet began, by the loop's clock; None if there is
        none."""
        ...

    def read(self, first: int) -> AsyncIterator[tuple[int, bytes]]:
        """The records from the sequence number `first` on, each with its number.

        It waits for more at the end of the log, until it is closed. If earlier records were trimmed, it
        begins with the first that is left. Raises LogError.
        """
        ...

    def read_again(self) -> None:
        """Go on reading behind the last record by other means: more are there, and nothing comes."""
        ...

    async def trim(self, upto: int) -> None:
        """Delete the records up to, and not including, the sequence number `upto`. Raises LogError."""
        ...

    async def close(self) -> None:
        """End everything that is under way, and disconnect."""
        ...
