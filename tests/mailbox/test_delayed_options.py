"""Delayed messages with receipts and failed deliveries."""

import json
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, refuse
from tests.support.questions import block
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire


def test_cancelled_message_has_a_receipt_and_an_event(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address)
    wire.sub(f"{MAILBOX}EVENT.{address}.*", "e")
    assert wire.message().json["event"] == "alive"
    wire.msg(address, "told", block(Mq9_Delay="1h", Mq9_Receipt_To=log))
    wire.msg(address, "not told", block(Mq9_Delay="1h"))
    for number in (0, 1, 1):
        wire.delete(address, number)
    assert [json.loads(message["payload"]) for message in wire.list(log)["messages"]] == [
        {"mail_address": address, "msg_id": 0, "event": "settled", "how": "deleted"}
    ]
    assert [message.json for message in wire.messages(2)] == [
        {"event": "settled", "msg_id": number, "how": "deleted"} for number in (0, 1)
    ]
    assert wire.silent(0.1)


def test_receipts_of_all_cancelled_messages(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, receipts_to=log)
    wire.msg(address, "later", block(Mq9_Delay="1h"))
    assert wire.delete(address, 0) == {"deleted": True}
    assert wire.list(log)["total"] == 1


@pytest.mark.parametrize("kill", [False, True])
def test_failed_deliveries_of_a_due_message(start_broker: Callable[..., Broker], kill: bool) -> None:
    """They belong to its msg_id, although its place has another number."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.subscribe("box", queue="g")
        assert wire.msg("box", "alarm", block(Mq9_Delay="10ms"))["msg_id"] == 0
        refuse(wire, wire.message())
        assert b"Mq9-Deliveries: 2" in wire.message().header
        assert wire.list("box")["messages"][0]["deliveries"] == 1
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        wait_until(lambda: wire.list("box")["messages"][0]["deliveries"] >= 1)
        wire.subscribe("box", queue="g")
        message = wire.message()
        assert message.reply.startswith(f"{MAILBOX}DELETE.box.0")
        assert b"Mq9-Deliveries: " in message.header
        assert wire.request(message.reply).json == {"deleted": True}
        assert wire.list("box")["total"] == 0


def test_member_that_answers_a_due_message(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, ack_wait=30, max_deliver=2)
    one = member()
    wire.msg(address, "alarm", block(Mq9_Delay="10ms"))
    refuse(one, one.message())
    refuse(one, one.message())
    wait_until(lambda: wire.list(address)["total"] == 0)
