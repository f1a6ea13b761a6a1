"""SIGKILL at any moment: what was acknowledged, or delivered to anybody, is what is there afterwards."""

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


class Ledger:
    """All that was promised so far, over all lives of the broker."""

    def __init__(self) -> None:
        self.acknowledged: dict[Key, bytes] = {}
        self.seen: dict[Key, bytes] = {}
        self.deleted: set[Key] = set()
        self.maybe_deleted: set[Key] = set()
        self.payload_of: dict[Key, bytes] = {}

    def add(self, writers: list[Writer], subscriber: Subscriber) -> None:
        for writer in writers:
            assert not writer.errors, writer.errors
            self._note(writer.acknowledged)
            self.acknowledged.update(writer.acknowledged)
            self.deleted |= writer.deleted
            self.maybe_deleted |= writer.maybe_deleted
        self._note(subscriber.received)
        self.seen.update(subscriber.received)

    @property
    def is_full(self) -> bool:
        """Whether enough was promised for a broken promise to show."""
        return len(self.acknowledged) > 500 and len(self.deleted) > 50 and len(self.seen) > 500

    def _note(self, messages: dict[Key, bytes]) -> None:
        """An id names the same message for ever, whether it was stored, deleted or killed in flight."""
        for key, payload in messages.items():
            assert self.payload_of.setdefault(key, payload) == payload, f"{key} was given twice"

    def check(self, port: int) -> None:
        stored = {
            (address, msg_id): payload
            for address in ADDRESSES
            for msg_id, payload in read_stored(port, address).items()
        }
        self._note(stored)
        for promised in (self.acknowledged, self.seen):
            lost = promised.keys() - stored.keys() - self.maybe_deleted
            assert not lost, f"lost {len(lost)} of {len(promised)}: {sorted(lost)[:5]}"
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
def test_a_killed_broker_keeps_every_promise(start_broker: Callable[..., Broker], sync: str) -> None:
    moments = random.Random(f"kill {sync}")
    broker = start_broker("--sync", sync, "--sync-interval", "0.05")
    with Wire(broker.port) as wire:
        for address in ADDRESSES:
            wire.create(name=address)
    ledger = Ledger()
    number = 0
    # A slow machine takes more rounds, and longer ones, until enough was promised to be broken.
    while number < ROUNDS or not ledger.is_full:
        assert number < MAX_ROUNDS
        longest = LONGEST_ROUND_SECONDS * (1 + number // ROUNDS)
        ledger.add(*run_until_killed(broker, moments.uniform(0.02, longest), number))
        broker.start()
        ledger.check(broker.port)
        number += 1


def test_ids_go_on_after_a_kill_where_nothing_is_left(start_broker: Callable[..., Broker]) -> None:
    """Neither deleting everything nor dying at once makes a mailbox forget which ids it gave."""
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
