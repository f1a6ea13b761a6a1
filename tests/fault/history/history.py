"""A history: everything that clients did and saw, in the order in which it began."""

import asyncio
import collections
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tests.fault.history.records import (
    Delivery,
    Fault,
    Listing,
    Record,
    Request,
    Subscription,
    from_json,
    now,
    to_json,
)

TICK_SECONDS = 0.02
# So many turns of the event loop are more than enough to take what a socket holds.
TICKS = 5


class History:
    """The records of one run. Clients of one event loop add to it.

    `ticking` must run while messages are delivered: it measures how late the event loop reads its sockets.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.listings: list[Listing] = []
        self.subscriptions: list[Subscription] = []
        self.deliveries: list[Delivery] = []
        self.faults: list[Fault] = []
        self._records: dict[type, list[Any]] = {
            Fault: self.faults,
            Request: self.requests,
            Subscription: self.subscriptions,
            Delivery: self.deliveries,
            Listing: self.listings,
        }
        self._ticks: collections.deque[float] = collections.deque([now()], TICKS)

    def add(self, record: Record) -> None:
        """Add a record. Its fields may still change until the history is checked."""
        self._records[type(record)].append(record)

    @contextlib.contextmanager
    def fault(self, kind: str, note: str = "") -> Iterator[Fault]:
        """Record a fault from the beginning to the end of the `with` block."""
        fault = Fault(kind, now(), float("inf"), note)
        self.add(fault)
        yield fault
        fault.ended = now()

    @contextlib.asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Note how often the event loop turns, until the end of the `with` block."""

        async def tick() -> None:
            while True:
                self._ticks.append(now())
                await asyncio.sleep(TICK_SECONDS)

        task = asyncio.create_task(tick())
        try:
            yield
        finally:
            task.cancel()

    @property
    def read_until(self) -> float:
        """What was sent to clients before this moment, they have received."""
        return self._ticks[0]

    @property
    def operations(self) -> int:
        """The number of records that rules look at."""
        return len(self.requests) + len(self.listings) + len(self.subscriptions) + len(self.deliveries)

    def __iter__(self) -> Iterator[Record]:
        for records in self._records.values():
            yield from records

    def save(self, path: Path) -> None:
        with path.open("w") as file:
            for record in self:
                file.write(json.dumps(to_json(record)) + "\n")

    @classmethod
    def load(cls, path: Path) -> "History":
        history = cls()
        with path.open() as file:
            for line in file:
                history.add(from_json(json.loads(line)))
        return history
