"""Delayed messages that newer ones replace, by key or by size, when writes or fsyncs fail."""

from collections.abc import Iterator

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.faults.mailbox import REPLIES, begin_sync, codes, payloads, publish, wait_until_writable
from tests.support.mailbox import texts
from tests.support.questions import block
from tests.support.wire_client import Wire

LATER = block(Mq9_Key="a", Mq9_Delay="1h")
NOW = block(Mq9_Key="a")


@pytest.fixture(params=["key", "size"])
def wire(request: pytest.FixtureRequest, faulty_broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    """With a delayed message in the mailbox, which any new one replaces."""
    with Wire(faulty_broker.port) as wire:
        wire.sub(REPLIES, "9")
        if request.param == "size":
            wire.create(name="box", max_messages=1, discard="old")
        else:
            wire.create(name="box")
        assert wire.msg("box", "first", LATER)["msg_id"] == 0
        yield wire


@pytest.mark.parametrize("header", [LATER, NOW], ids=["delayed", "now"])
def test_failed_write_replaces_nothing(faulty_broker: BrokerOnFaultyStore, wire: Wire, header: bytes) -> None:
    faulty_broker.faults.failing_writes = 1
    publish(wire, "MSG.box", "a", header)
    assert codes(wire, 1) == ["store_unavailable"]
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["first"]
    assert "msg_id" in wire.msg("box", "b", header)
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["b"]


@pytest.mark.parametrize("header", [LATER, NOW], ids=["delayed", "now"])
def test_message_that_replaced_an_acknowledged_one_is_kept_after_a_failed_fsync(
    faulty_broker: BrokerOnFaultyStore, wire: Wire, header: bytes
) -> None:
    faulty_broker.faults.failing_syncs = 1
    begin_sync(faulty_broker, wire, "MSG.box", "a", header)
    publish(wire, "MSG.box", "b", header)
    faulty_broker.faults.may_sync.set()
    assert codes(wire, 2) == ["store_unavailable"] * 2
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["b"]
    assert "msg_id" in wire.msg("box", "c", header)
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["c"]


def test_refused_message_that_replaced_nothing_stored_is_not_kept(
    faulty_broker: BrokerOnFaultyStore, wire: Wire
) -> None:
    """It replaced a message of its own batch."""
    wire.delete("box", 0)
    faulty_broker.faults.failing_syncs = 1
    faulty_broker.faults.may_sync.clear()
    wire.send(
        b"".join(
            frame
            for _ in range(2)
            for frame in (
                b"HPUB $mq9.AI.MAILBOX.MSG.box %d %d\r\n" % (len(LATER), len(LATER) + 1),
                LATER,
                b"x\r\n",
            )
        )
    )
    wire.ping()
    assert wire.silent(0.1)
    faulty_broker.faults.may_sync.set()
    wait_until_writable(wire, "box")
    assert payloads(wire, "box") == payloads(wire, "box", key="a") == []


@pytest.mark.parametrize("what", ["failing_writes", "failing_syncs"])
def test_due_message_comes_once_and_keeps_its_key(
    faulty_broker: BrokerOnFaultyStore, wire: Wire, what: str
) -> None:
    with Wire(faulty_broker.port) as reader:
        reader.subscribe("box")
        reader.ping()
        wire.msg("box", "due", block(Mq9_Key="a", Mq9_Delay="500ms"))
        setattr(faulty_broker.faults, what, 1)
        assert texts(reader.messages(1)) == ["due"]
        wait_until_writable(wire, "box")
        assert reader.silent(0.5)
        assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["due"]
        assert "msg_id" in wire.msg("box", "new", NOW)
        assert texts(reader.messages(1)) == ["new"]
        assert payloads(wire, "box") == payloads(wire, "box", key="a") == ["new"]
