"""Nats-Msg-Ids when writes or fsyncs fail: a refused message is not remembered, an acknowledged one is."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire


def header(message_id: str) -> bytes:
    return f"NATS/1.0\r\nNats-Msg-Id: {message_id}\r\n\r\n".encode()


def send(wire: Wire, message_id: str) -> dict[str, Any]:
    return wire.msg("box", message_id, header(message_id))


def publish(wire: Wire, message_id: str) -> None:
    """Send a MSG, which will be answered on the subject `answers`, and wait until the broker has read it."""
    wire.pub(f"{MAILBOX}MSG.box", message_id, "answers", header(message_id))
    wire.ping()


def codes(wire: Wire, count: int) -> list[Any]:
    return [message.json.get("code", message.json) for message in wire.messages(count)]


def wait_until_writable(wire: Wire) -> None:
    wait_until(lambda: wire.create(name="box").get("is_new") is False)


@pytest.fixture
def wire(faulty_broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    with Wire(faulty_broker.port) as wire:
        wire.sub("answers", "9")
        wire.create(name="box")
        assert send(wire, "kept") == {"msg_id": 0}
        yield wire


def payloads(wire: Wire) -> list[str]:
    return [message["payload"] for message in wire.list("box")["messages"]]


def test_reply_to_a_repetition_waits_for_the_first_fsync(
    faulty_broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    faulty_broker.faults.may_sync.clear()
    publish(wire, "a")
    assert wire.silent(0.1)
    # This one is in the next commit group, and the one before it in its own.
    publish(wire, "a")
    publish(wire, "kept")
    assert wire.silent(0.2)
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 3) == [
        {"msg_id": 1},
        {"msg_id": 1, "duplicate": True},
        {"msg_id": 0, "duplicate": True},
    ]


def test_id_of_a_failed_fsync_is_not_remembered(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> None:
    faulty_broker.faults.may_sync.clear()
    faulty_broker.faults.failing_syncs = 1
    publish(wire, "a")
    assert wire.silent(0.1)
    # A repetition of a message that will be refused is refused too.
    publish(wire, "a")
    publish(wire, "b")
    publish(wire, "b")
    assert wire.silent(0.1)
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 4) == ["store_unavailable"] * 4
    wait_until_writable(wire)
    assert "duplicate" not in (first := send(wire, "a"))
    assert send(wire, "a") == {**first, "duplicate": True}
    assert "duplicate" not in send(wire, "b")
    assert send(wire, "kept") == {"msg_id": 0, "duplicate": True}
    assert payloads(wire) == ["kept", "a", "b"]


def test_repetition_is_refused_if_the_fsync_of_the_first_fails(
    faulty_broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    """Although its own commit group has nothing else to write."""
    faulty_broker.faults.may_sync.clear()
    faulty_broker.faults.failing_syncs = 1
    publish(wire, "a")
    assert wire.silent(0.1)
    publish(wire, "a")
    assert wire.silent(0.1)
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 2) == ["store_unavailable"] * 2


def test_id_of_a_failed_write_is_not_remembered(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> None:
    faulty_broker.faults.failing_writes = 1
    publish(wire, "a")
    assert codes(wire, 1) == ["store_unavailable"]
    assert send(wire, "a")["code"] == "store_unavailable"
    wait_until_writable(wire)
    first = send(wire, "a")
    assert send(wire, "a") == {**first, "duplicate": True}
    assert send(wire, "kept") == {"msg_id": 0, "duplicate": True}
    assert payloads(wire) == ["kept", "a"]


def test_only_the_last_ids_are_lost_with_a_failed_write(
    faulty_broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    """More ids than a row has, all of them in memory when the write fails."""
    for n in range(3000):
        wire.pub(f"{MAILBOX}MSG.box", "", header=header(f"many{n}"))
    wire.list("box", limit=1)
    faulty_broker.faults.failing_writes = 1
    publish(wire, "a")
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire)
    for n in (0, 1023, 1024, 2999):
        assert send(wire, f"many{n}") == {"msg_id": n + 1, "duplicate": True}
    assert "duplicate" not in send(wire, "a")
