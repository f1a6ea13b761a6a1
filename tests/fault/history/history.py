"""A history: everything that clients did and saw, in the order in which it began."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fault.history.records import (
    Delivery,
    Event,
    Fault,
    Listing,
    Record,
    Request,
    Subscription,
    Watch,
    from_json,
    now,
    to_json,
)


class History:
    """The records of one run. Clients of one event loop add to it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.listings: list[Listing] = []
        self.subscriptions: list[Subscription] = []
        self.deliveries: list[Delivery] = []
        self.watches: list[Watch] = []
        self.events: list[Event] = []
        self.faults: list[Fault] = []
        self._records: dict[type, list[Any]] = {
            Fault: self.faults,
            Request: self.requests,
            Subscription: self.subscriptions,
            Delivery: self.deliveries,
            Listing: self.listings,
            Watch: self.watches,
            Event: self.events,
        }

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

    @property
    def operations(self) -> int:
        """The number of records that rules look at."""
        return sum(len(records) for kind, records in self._records.items() if kind is not Fault)

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
