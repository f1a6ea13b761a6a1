"""discard "old" when fsyncs are slow, and when writes or fsyncs fail: no acknowledged status is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.mailbox import texts
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerOnFaultyStore]:
    running = BrokerOnFaultyStore(tmp_path / "data")
    yield running
    running.end()


@pytest.fixture
def wire(broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    with Wire(broker.port) as wire:
        wire.sub("answers", "9")
        wire.create(name="box", max_messages=1, discard="old")
        assert wire.msg("box", "first") == {"msg_id": 0}
        yield wire


@pytest.fixture
def reader(broker: BrokerOnFaultyStore, wire: Wire) -> Iterator[Wire]:
    with Wire(broker.port) as reader:
        reader.subscribe("box")
        assert texts(reader.messages(1)) == ["first"]
        yield reader


def publish(wire: Wire, text: str) -> None:
    """Send a MSG, which will be answered on the subject `answers`, and wait until the broker has read it."""
    wire.pub(f"{MAILBOX}MSG.box", text, "answers")
    wire.ping()


def codes(wire: Wire, count: int) -> list[Any]:
    return [message.json.get("code", message.json) for message in wire.messages(count)]


def payloads(wire: Wire) -> list[str]:
    return [message["payload"] for message in wire.list("box")["messages"]]


def wait_until_writable(wire: Wire) -> None:
    wait_until(lambda: wire.create(name="box").get("is_new") is False)


def begin_sync(broker: BrokerOnFaultyStore, wire: Wire, text: str) -> None:
    """Send a message whose commit group is in an fsync until `may_sync` is set."""
    broker.faults.may_sync.clear()
    publish(wire, text)
    assert wire.silent(0.1)


def test_plain_reader_gets_what_was_dropped_during_its_fsync(
    broker: BrokerOnFaultyStore, wire: Wire, reader: Wire
) -> None:
    """A queue group does not: its member would work on what is gone."""
    with Wire(broker.port) as worker:
        worker.subscribe("box", queue="g")
        (held,) = worker.messages(1)
        worker.pub(held.reply)
        worker.ping()
        wait_until(lambda: wire.list("box")["total"] == 0)
        begin_sync(broker, wire, "a")
        publish(wire, "b")
        publish(wire, "c")
        assert reader.silent(0.1)
        broker.faults.may_sync.set()
        assert texts(reader.messages(2)) == ["a", "c"]
        assert texts(worker.messages(1)) == ["c"]
        assert reader.silent()
        assert worker.silent()
    assert codes(wire, 3) == [{"msg_id": 1}, {"msg_id": 2}, {"msg_id": 3}]
    assert payloads(wire) == ["c"]


def test_message_that_replaced_an_acknowledged_one_is_kept_after_a_failed_fsync(
    broker: BrokerOnFaultyStore, wire: Wire, reader: Wire
) -> None:
    broker.faults.failing_syncs = 1
    begin_sync(broker, wire, "refused")
    broker.faults.may_sync.set()
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire)
    assert payloads(wire) == ["refused"]
    assert texts(reader.messages(1)) == ["refused"]
    wire.msg("box", "next")
    assert texts(reader.messages(1)) == ["next"]
    assert payloads(wire) == ["next"]


def test_both_groups_fail(broker: BrokerOnFaultyStore, wire: Wire, reader: Wire) -> None:
    """The one in the fsync, and the one that gathered meanwhile and dropped its message."""
    broker.faults.failing_syncs = 1
    begin_sync(broker, wire, "a")
    publish(wire, "b")
    broker.faults.may_sync.set()
    assert codes(wire, 2) == ["store_unavailable"] * 2
    wait_until_writable(wire)
    assert payloads(wire) == ["b"]
    assert texts(reader.messages(1)) == ["b"]


def test_message_that_replaced_nothing_stored_is_not_kept(broker: BrokerOnFaultyStore, wire: Wire) -> None:
    wire.delete("box", 0)
    broker.faults.failing_syncs = 1
    begin_sync(broker, wire, "a")
    broker.faults.may_sync.set()
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire)
    assert payloads(wire) == []


def test_failed_write_drops_nothing(broker: BrokerOnFaultyStore, wire: Wire, reader: Wire) -> None:
    broker.faults.failing_writes = 1
    publish(wire, "a")
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire)
    assert payloads(wire) == ["first"]
    assert reader.silent()
    assert "msg_id" in wire.msg("box", "b")
    assert texts(reader.messages(1)) == ["b"]
    assert payloads(wire) == ["b"]


def test_message_is_pushed_if_the_write_that_drops_it_fails(
    broker: BrokerOnFaultyStore, wire: Wire, reader: Wire
) -> None:
    with Wire(broker.port) as worker:
        wire.delete("box", 0)
        worker.subscribe("box", queue="g")
        worker.ping()
        begin_sync(broker, wire, "a")
        publish(wire, "b")
        broker.faults.failing_writes = 1
        broker.faults.may_sync.set()
        assert texts(worker.messages(1)) == ["a"]
        assert texts(reader.messages(1)) == ["a"]
        assert codes(wire, 2) == ["store_unavailable", {"msg_id": 1}]
    wait_until_writable(wire)
    assert payloads(wire) == ["a"]
