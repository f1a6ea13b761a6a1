"""SIGKILL at any moment: everything that was acknowledged or delivered is stored afterwards."""

import random
import time
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.load import Subscriber, Writer
from tests.support.mailbox import read_stored
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

ADDRESSES = ["jobs.one", "jobs.two"]
WRITERS = 4
ROUNDS = 10
MAX_ROUNDS = 60
LONGEST_ROUND_SECONDS = 0.25

Key = tuple[str, int]


class Record:
    """Everything that was acknowledged or delivered, over all runs of the broker."""

    def __init__(self) -> None:
        self.acknowledged: dict[Key, bytes] = {}
        self.received: dict[Key, bytes] = {}
        self.deleted: set[Key] = set()
        self.maybe_deleted: set[Key] = set()
        self.payload_of: dict[Key, bytes] = {}

    def add(self, writers: list[Writer], subscriber: Subscriber) -> None:
        for writer in writers:
            assert not writer.errors, writer.errors
            self._check_ids(writer.acknowledged)
            self.acknowledged.update(writer.acknowledged)
            self.deleted |= writer.deleted
            self.maybe_deleted |= writer.maybe_deleted
        self._check_ids(subscriber.received)
        self.received.update(subscriber.received)

    @property
    def is_full(self) -> bool:
        """Whether there are enough messages for a loss to show."""
        return len(self.acknowledged) > 500 and len(self.deleted) > 50 and len(self.received) > 500

    def _check_ids(self, messages: dict[Key, bytes]) -> None:
        """Check that each id names the same message for ever, stored, deleted or lost in flight."""
        for key, payload in messages.items():
            assert self.payload_of.setdefault(key, payload) == payload, f"{key} was used twice"

    def check(self, port: int) -> None:
        stored = {
            (address, msg_id): payload
            for address in ADDRESSES
            for msg_id, payload in read_stored(port, address).items()
        }
        self._check_ids(stored)
        for confirmed in (self.acknowledged, self.received):
            lost = confirmed.keys() - stored.keys() - self.maybe_deleted
            assert not lost, f"lost {len(lost)} of {len(confirmed)}: {sorted(lost)[:5]}"
        back = self.deleted & stored.keys()
        assert not back, f"came back: {sorted(back)[:5]}"


def run_until_killed(broker: Broker, seconds: float, number: int) -> tuple[list[Writer], Subscriber]:
    writers = [Writer(broker.port, f"w{number}x{n}", ADDRESSES, seed=number * 10 + n) for n in range(WRITERS)]
    subscriber = Subscriber(broker.port, ADDRESSES)
    threads = [subscriber, *writers]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    broker.kill()
    for thread in threads:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
    return writers, subscriber


@pytest.mark.parametrize("sync", ["always", "interval", "never"])
def test_killed_broker_loses_nothing_acknowledged_or_delivered(
    start_broker: Callable[..., Broker], sync: str
) -> None:
    moments = random.Random(f"kill {sync}")
    broker = start_broker("--sync", sync, "--sync-interval", "0.05")
    with Wire(broker.port) as wire:
        for address in ADDRESSES:
            wire.create(name=address)
    record = Record()
    number = 0
    # On a slow machine: more and longer rounds, until there are enough messages.
    while number < ROUNDS or not record.is_full:
        assert number < MAX_ROUNDS
        longest = LONGEST_ROUND_SECONDS * (1 + number // ROUNDS)
        record.add(*run_until_killed(broker, moments.uniform(0.02, longest), number))
        broker.start()
        record.check(broker.port)
        number += 1


def test_ids_continue_after_kills_of_an_empty_mailbox(start_broker: Callable[..., Broker]) -> None:
    """A mailbox does not reuse ids after all its messages were deleted and the broker was killed."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="once")
    for round_number in range(5):
        with Wire(broker.port) as wire:
            ids = [wire.msg("once", "x")["msg_id"] for _ in range(3)]
            assert ids == [round_number * 3 + n for n in range(3)]
            assert all(wire.delete("once", msg_id) == {"deleted": True} for msg_id in ids)
        broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert wire.list("once")["total"] == 0
