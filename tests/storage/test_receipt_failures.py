"""Receipts of replaced messages when writes or fsyncs fail: a message is there, or its receipt is."""

import json
from collections.abc import Iterator

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.faults.mailbox import REPLIES, begin_sync, codes, payloads, publish, wait_until_writable
from tests.support.wire_client import Wire

KEY = b"NATS/1.0\r\nMq9-Key: a\r\n\r\n"


@pytest.fixture
def wire(faulty_broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    with Wire(faulty_broker.port) as wire:
        wire.sub(REPLIES, "9")
        wire.create(name="log")
        wire.create(name="box", receipts_to="log")
        assert wire.msg("box", "first", KEY) == {"msg_id": 0}
        yield wire


def replaced(wire: Wire) -> list[int]:
    """The msg_ids of the receipts."""
    return [json.loads(body)["msg_id"] for body in payloads(wire, "log")]


def test_failed_write(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> None:
    faulty_broker.faults.failing_writes = 1
    publish(wire, "MSG.box", "a", KEY)
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == ["first"] and replaced(wire) == []
    wire.msg("box", "b", KEY)
    assert payloads(wire, "box") == ["b"] and replaced(wire) == [0]


def test_failed_fsync(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> None:
    """The messages that replaced others stay, and so do the receipts of those."""
    faulty_broker.faults.failing_syncs = 1
    begin_sync(faulty_broker, wire, "MSG.box", "a", KEY)
    publish(wire, "MSG.box", "b", KEY)
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 2) == ["store_unavailable"] * 2
    wait_until_writable(wire, "box")
    [there] = [wire.list("box")["messages"][0]["msg_id"]]
    assert replaced(wire) == list(range(there))
