"""Delayed messages while writes or fsyncs fail: each accepted one comes once, and no refused one."""

import time

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

COUNT = 30


def delay(seconds: float) -> bytes:
    return f"NATS/1.0\r\nMq9-Delay: {seconds}\r\n\r\n".encode()


def names(wire: Wire) -> list[int]:
    return [message["msg_id"] for message in wire.list("box").get("messages", ())]


@pytest.mark.parametrize("what", ["writes", "syncs"])
@pytest.mark.parametrize("times", [1, 3])
def test_due_messages_come_once_after_a_failure(
    faulty_broker: BrokerOnFaultyStore, what: str, times: int
) -> None:
    with (
        Wire(faulty_broker.port) as wire,
        Wire(faulty_broker.port) as reader,
        Wire(faulty_broker.port) as member,
    ):
        wire.create(name="box")
        reader.subscribe("box")
        member.subscribe("box", queue="g")
        reader.ping()
        member.ping()
        for n in range(COUNT):
            assert wire.msg("box" + (".urgent" if n % 2 else ""), str(n), delay(1.5))["msg_id"] == n
        if what == "writes":
            faulty_broker.faults.failing_writes = times
        else:
            faulty_broker.faults.failing_syncs = times
        for each in (reader, member):
            got = [(int(m.reply.rpartition(".")[2]), m.payload) for m in each.messages(COUNT)]
            assert sorted(got) == [(n, b"%d" % n) for n in range(COUNT)]
        wait_until(lambda: len(names(wire)) == COUNT)
        assert sorted(names(wire)) == list(range(COUNT))
        wait_until(lambda: wire.msg("box", "new").get("msg_id") is not None)
        assert [each.message().payload for each in (reader, member)] == [b"new"] * 2
        assert reader.silent()
        assert member.silent()
        for n in range(COUNT):
            assert wire.delete("box", n) == {"deleted": True}
        assert wire.list("box")["total"] == 1


def test_refused_delayed_message_never_comes(faulty_broker: BrokerOnFaultyStore) -> None:
    with Wire(faulty_broker.port) as wire:
        wire.create(name="box")
        wire.subscribe("box")
        assert wire.msg("box", "kept", delay(2))["msg_id"] == 0
        faulty_broker.faults.failing_syncs = 1
        assert wire.msg("box", "refused", delay(1))["code"] == "store_unavailable"
        wait_until(lambda: "msg_id" in wire.msg("box", "later", delay(2)))
        assert {wire.message().payload for _ in range(2)} == {b"kept", b"later"}
        assert wire.silent(1)
        assert wire.list("box")["total"] == 2


def test_cancellation_that_fails_is_undone(faulty_broker: BrokerOnFaultyStore) -> None:
    with Wire(faulty_broker.port) as wire:
        wire.create(name="box")
        wire.msg("box", "x", delay(3))
        faulty_broker.faults.failing_writes = 1
        assert wire.delete("box", 0)["code"] == "store_unavailable"
        wait_until(lambda: wire.list("box").get("total") == 1)
        wait_until(lambda: wire.delete("box", 0) == {"deleted": True})
        assert wire.list("box")["total"] == 0
        time.sleep(3)
        assert wire.list("box")["total"] == 0
