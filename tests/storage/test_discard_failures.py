"""discard "old" when fsyncs are slow, and when writes or fsyncs fail: no acknowledged status is lost."""

from collections.abc import Iterator

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.faults.mailbox import REPLIES, begin_sync, codes, payloads, publish, wait_until_writable
from tests.support.mailbox import texts
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire


@pytest.fixture
def wire(faulty_broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    with Wire(faulty_broker.port) as wire:
        wire.sub(REPLIES, "9")
        wire.create(name="box", max_messages=1, discard="old")
        assert wire.msg("box", "first") == {"msg_id": 0}
        yield wire


@pytest.fixture
def reader(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> Iterator[Wire]:
    with Wire(faulty_broker.port) as reader:
        reader.subscribe("box")
        assert texts(reader.messages(1)) == ["first"]
        yield reader


def test_plain_reader_gets_what_was_dropped_during_its_fsync(
    faulty_broker: BrokerOnFaultyStore, wire: Wire, reader: Wire
) -> None:
    """A queue group does not: its member would work on what is gone."""
    with Wire(faulty_broker.port) as worker:
        worker.subscribe("box", queue="g")
        (held,) = worker.messages(1)
        worker.pub(held.reply)
        worker.ping()
        wait_until(lambda: wire.list("box")["total"] == 0)
        begin_sync(faulty_broker, wire, "MSG.box", "a")
        publish(wire, "MSG.box", "b")
        publish(wire, "MSG.box", "c")
        assert reader.silent(0.1)
        faulty_broker.faults.may_sync.set()
        assert texts(reader.messages(2)) == ["a", "c"]
        assert texts(worker.messages(1)) == ["c"]
        assert reader.silent()
        assert worker.silent()
    assert codes(wire, 3) == [{"msg_id": 1}, {"msg_id": 2}, {"msg_id": 3}]
    assert payloads(wire, "box") == ["c"]


def test_message_that_replaced_an_acknowledged_one_is_kept_after_a_failed_fsync(
    faulty_broker: BrokerOnFaultyStore, wire: Wire, reader: Wire
) -> None:
    faulty_broker.faults.failing_syncs = 1
    begin_sync(faulty_broker, wire, "MSG.box", "refused")
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == ["refused"]
    assert texts(reader.messages(1)) == ["refused"]
    wire.msg("box", "next")
    assert texts(reader.messages(1)) == ["next"]
    assert payloads(wire, "box") == ["next"]


def test_both_groups_fail(faulty_broker: BrokerOnFaultyStore, wire: Wire, reader: Wire) -> None:
    """The one in the fsync, and the one that gathered meanwhile and dropped its message."""
    faulty_broker.faults.failing_syncs = 1
    begin_sync(faulty_broker, wire, "MSG.box", "a")
    publish(wire, "MSG.box", "b")
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 2) == ["store_unavailable"] * 2
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == ["b"]
    assert texts(reader.messages(1)) == ["b"]


def test_message_that_replaced_nothing_stored_is_not_kept(
    faulty_broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    wire.delete("box", 0)
    faulty_broker.faults.failing_syncs = 1
    begin_sync(faulty_broker, wire, "MSG.box", "a")
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == []


def test_failed_write_drops_nothing(faulty_broker: BrokerOnFaultyStore, wire: Wire, reader: Wire) -> None:
    faulty_broker.faults.failing_writes = 1
    publish(wire, "MSG.box", "a")
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == ["first"]
    assert reader.silent()
    assert "msg_id" in wire.msg("box", "b")
    assert texts(reader.messages(1)) == ["b"]
    assert payloads(wire, "box") == ["b"]


def test_message_is_pushed_if_the_write_that_drops_it_fails(
    faulty_broker: BrokerOnFaultyStore, wire: Wire, reader: Wire
) -> None:
    with Wire(faulty_broker.port) as worker:
        wire.delete("box", 0)
        worker.subscribe("box", queue="g")
        worker.ping()
        begin_sync(faulty_broker, wire, "MSG.box", "a")
        publish(wire, "MSG.box", "b")
        faulty_broker.faults.failing_writes = 1
        faulty_broker.faults.may_sync.set()
        assert texts(worker.messages(1)) == ["a"]
        assert texts(reader.messages(1)) == ["a"]
        assert codes(wire, 2) == ["store_unavailable", {"msg_id": 1}]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == ["a"]
