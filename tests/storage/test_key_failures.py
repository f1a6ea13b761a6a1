"""Mq9-Key when writes or fsyncs fail: a key has the message that was acknowledged last, or a later one."""

from collections.abc import Iterator

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.faults.mailbox import REPLIES, begin_sync, codes, payloads, publish, wait_until_writable
from tests.support.mailbox import refuse, texts
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

HEADER = b"NATS/1.0\r\nMq9-Key: a\r\n\r\n"


@pytest.fixture
def wire(faulty_broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    with Wire(faulty_broker.port) as wire:
        wire.sub(REPLIES, "9")
        wire.create(name="box")
        assert wire.msg("box", "first", HEADER) == {"msg_id": 0}
        yield wire


def test_failed_write_replaces_nothing(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> None:
    faulty_broker.faults.failing_writes = 1
    publish(wire, "MSG.box", "a", HEADER)
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["first"]
    wire.msg("box", "b", HEADER)
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["b"]


def test_message_that_replaced_an_acknowledged_one_is_kept_after_a_failed_fsync(
    faulty_broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    faulty_broker.faults.failing_syncs = 1
    begin_sync(faulty_broker, wire, "MSG.box", "a", HEADER)
    publish(wire, "MSG.box", "b", HEADER)
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 2) == ["store_unavailable"] * 2
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["b"]
    wire.msg("box", "c", HEADER)
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["c"]


def test_refused_message_without_a_predecessor_does_not_keep_its_key(
    faulty_broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    wire.delete("box", 0)
    faulty_broker.faults.failing_syncs = 1
    begin_sync(faulty_broker, wire, "MSG.box", "a", HEADER)
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == []
    wire.msg("box", "b", HEADER)
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["b"]


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
def test_held_message_after_a_failure(faulty_broker: BrokerOnFaultyStore, wire: Wire, fault: str) -> None:
    """A failed write takes the replacement back. After a failed fsync it holds, and the new one is kept."""
    with Wire(faulty_broker.port) as worker:
        worker.subscribe("box", queue="g")
        (held,) = worker.messages(1)
        setattr(faulty_broker.faults, fault, 1)
        publish(wire, "MSG.box", "a", HEADER)
        assert codes(wire, 1) == ["store_unavailable"]
        wait_until_writable(wire, "box")
        if fault == "failing_writes":
            assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["first"]
            wait_until(lambda: wire.list("box")["mailbox"]["groups"][0]["in_flight"] == 1)
            refuse(worker, held)
            assert texts(worker.messages(1)) == ["first"]
        else:
            assert texts(worker.messages(1)) == ["a"]
            assert payloads(wire, "box", key="a") == ["a"]
            refuse(worker, held)
            wait_until(lambda: payloads(wire, "box") == ["a"])
            assert worker.silent()


def test_replacement_during_an_fsync(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> None:
    """Of three in two commit groups, plain readers get the first and the last."""
    with Wire(faulty_broker.port) as reader:
        reader.subscribe("box")
        assert texts(reader.messages(1)) == ["first"]
        begin_sync(faulty_broker, wire, "MSG.box", "a", HEADER)
        publish(wire, "MSG.box", "b", HEADER)
        publish(wire, "MSG.box", "c", HEADER)
        faulty_broker.faults.may_sync.set()
        assert texts(reader.messages(2)) == ["a", "c"]
        assert codes(wire, 3) == [{"msg_id": 1}, {"msg_id": 2}, {"msg_id": 3}]
        assert reader.silent()
    assert payloads(wire, "box") == ["c"]
