"""Expiry of messages while writes or fsyncs fail: each is gone in the end, and counted once."""

import time

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

HEADER = b"NATS/1.0\r\nNats-TTL: 2\r\n\r\n"


def fill(wire: Wire) -> None:
    wire.create(name="aged", max_age=2)
    wire.create(name="lives")
    for _ in range(20):
        wire.msg("aged", "x")
        wire.msg("lives.urgent", "x", HEADER)
    wire.msg("lives", "stays")


def settled(wire: Wire) -> bool:
    aged, lives = wire.list("aged"), wire.list("lives")
    if "error" in aged or "error" in lives:
        return False
    counts = [wire.list(address, priority="critical").get("total") for address in ("aged", "lives")]
    return counts == [0, 1] and [aged["mailbox"]["bytes"], lives["mailbox"]["bytes"]] == [0, 5]


@pytest.mark.parametrize("what", ["writes", "syncs"])
def test_expiry_is_done_again_after_a_failure(faulty_broker: BrokerOnFaultyStore, what: str) -> None:
    with Wire(faulty_broker.port) as wire:
        fill(wire)
        if what == "writes":
            faulty_broker.faults.failing_writes = 3
        else:
            faulty_broker.faults.failing_syncs = 3
        time.sleep(2)
        wait_until(lambda: settled(wire))
        assert [message["payload"] for message in wire.list("lives")["messages"]] == ["stays"]
        wait_until(lambda: wire.msg("aged", "new").get("msg_id") is not None)
        assert wire.list("lives", priority="critical")["total"] == 1


def test_refused_message_with_a_life_leaves_nothing(faulty_broker: BrokerOnFaultyStore) -> None:
    with Wire(faulty_broker.port) as wire:
        wire.create(name="lives")
        wire.msg("lives", "kept", HEADER)
        faulty_broker.faults.failing_syncs = 1
        assert wire.msg("lives", "refused", HEADER)["code"] == "store_unavailable"
        wait_until(lambda: "msg_id" in wire.msg("lives", "later", HEADER))
        wait_until(lambda: wire.list("lives", priority="critical")["total"] == 0)
        assert wire.list("lives")["mailbox"]["bytes"] == 0
