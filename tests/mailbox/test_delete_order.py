"""Deleting messages in random order costs at most a few times as much as in the order of their ids."""

import random
import sys

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import publish_many
from tests.support.wire_client import MAILBOX, Wire

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
MESSAGES = 20_000
# Measured: about 3. It was 27 when each deletion read from the store.
MAX_TIMES = 10


def seconds_to_delete(broker: Broker, wire: Wire, address: str, ids: list[int]) -> float:
    """Processor time of the event loop for deleting all messages, in this order of ids."""
    wire.create(name=address)
    publish_many(wire, address, MESSAGES, b"x" * 100)
    assert wire.list(address, limit=1)["total"] == MESSAGES
    began = broker.loop_seconds
    wire.send(b"".join(f"PUB {MAILBOX}DELETE.{address}.{number} 0\r\n\r\n".encode() for number in ids))
    assert wire.list(address)["total"] == 0
    return broker.loop_seconds - began


def test_deleting_in_random_order_costs_at_most_10_times_as_much(broker: Broker) -> None:
    in_order = list(range(MESSAGES))
    random_order = random.Random(1).sample(in_order, MESSAGES)
    with Wire(broker.port) as wire:
        ordered = min(seconds_to_delete(broker, wire, f"ordered.n{round}", in_order) for round in range(3))
        mixed = min(seconds_to_delete(broker, wire, f"mixed.n{round}", random_order) for round in range(3))
    print(f"{1e6 * ordered / MESSAGES:.2f} us in order, {1e6 * mixed / MESSAGES:.2f} us in random order")
    assert mixed < MAX_TIMES * ordered
