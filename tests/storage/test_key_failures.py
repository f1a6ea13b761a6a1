"""Mq9-Key when writes or fsyncs fail: a key has the message that was acknowledged last, or a later one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.mailbox import refuse, texts
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

HEADER = b"NATS/1.0\r\nMq9-Key: a\r\n\r\n"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerOnFaultyStore]:
    running = BrokerOnFaultyStore(tmp_path / "data")
    yield running
    running.end()


@pytest.fixture
def wire(broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    with Wire(broker.port) as wire:
        wire.sub("answers", "9")
        wire.create(name="box")
        assert wire.msg("box", "first", HEADER) == {"msg_id": 0}
        yield wire


def publish(wire: Wire, text: str) -> None:
    """Send a MSG, which will be answered on the subject `answers`, and wait until the broker has read it."""
    wire.pub(f"{MAILBOX}MSG.box", text, "answers", HEADER)
    wire.ping()


def codes(wire: Wire, count: int) -> list[Any]:
    return [message.json.get("code", message.json) for message in wire.messages(count)]


def payloads(wire: Wire) -> list[str]:
    return [message["payload"] for message in wire.list("box")["messages"]]


def of_key(wire: Wire) -> list[str]:
    return [message["payload"] for message in wire.list("box", key="a")["messages"]]


def wait_until_writable(wire: Wire) -> None:
    wait_until(lambda: wire.create(name="box").get("is_new") is False)


def begin_sync(broker: BrokerOnFaultyStore, wire: Wire, text: str) -> None:
    """Send a message whose commit group is in an fsync until `may_sync` is set."""
    broker.faults.may_sync.clear()
    publish(wire, text)
    assert wire.silent(0.1)


def test_failed_write_replaces_nothing(broker: BrokerOnFaultyStore, wire: Wire) -> None:
    broker.faults.failing_writes = 1
    publish(wire, "a")
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire)
    assert payloads(wire) == of_key(wire) == ["first"]
    wire.msg("box", "b", HEADER)
    assert payloads(wire) == of_key(wire) == ["b"]


def test_message_that_replaced_an_acknowledged_one_is_kept_after_a_failed_fsync(
    broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    broker.faults.failing_syncs = 1
    begin_sync(broker, wire, "a")
    publish(wire, "b")
    broker.faults.may_sync.set()
    assert codes(wire, 2) == ["store_unavailable"] * 2
    wait_until_writable(wire)
    assert payloads(wire) == of_key(wire) == ["b"]
    wire.msg("box", "c", HEADER)
    assert payloads(wire) == of_key(wire) == ["c"]


def test_refused_message_without_a_predecessor_does_not_keep_its_key(
    broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    wire.delete("box", 0)
    broker.faults.failing_syncs = 1
    begin_sync(broker, wire, "a")
    broker.faults.may_sync.set()
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire)
    assert payloads(wire) == of_key(wire) == []
    wire.msg("box", "b", HEADER)
    assert payloads(wire) == of_key(wire) == ["b"]


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
def test_held_message_after_a_failure(broker: BrokerOnFaultyStore, wire: Wire, fault: str) -> None:
    """A failed write takes the replacement back. After a failed fsync it holds, and the new one is kept."""
    with Wire(broker.port) as worker:
        worker.subscribe("box", queue="g")
        (held,) = worker.messages(1)
        setattr(broker.faults, fault, 1)
        publish(wire, "a")
        assert codes(wire, 1) == ["store_unavailable"]
        wait_until_writable(wire)
        if fault == "failing_writes":
            assert payloads(wire) == of_key(wire) == ["first"]
            wait_until(lambda: wire.list("box")["mailbox"]["groups"][0]["in_flight"] == 1)
            refuse(worker, held)
            assert texts(worker.messages(1)) == ["first"]
        else:
            assert texts(worker.messages(1)) == ["a"]
            assert of_key(wire) == ["a"]
            refuse(worker, held)
            wait_until(lambda: payloads(wire) == ["a"])
            assert worker.silent()


def test_replacement_during_an_fsync(broker: BrokerOnFaultyStore, wire: Wire) -> None:
    """Of three in two commit groups, plain readers get the first and the last."""
    with Wire(broker.port) as reader:
        reader.subscribe("box")
        assert texts(reader.messages(1)) == ["first"]
        begin_sync(broker, wire, "a")
        publish(wire, "b")
        publish(wire, "c")
        broker.faults.may_sync.set()
        assert texts(reader.messages(2)) == ["a", "c"]
        assert codes(wire, 3) == [{"msg_id": 1}, {"msg_id": 2}, {"msg_id": 3}]
        assert reader.silent()
    assert payloads(wire) == ["c"]
