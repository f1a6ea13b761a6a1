"""Mq9-Key with delayed messages: of all messages with a key, delayed or not, the last one is left."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, acknowledge, refuse, texts
from tests.support.questions import block
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

StartBroker = Callable[..., Broker]
KEYED = block(Mq9_Key="a")


def delayed(delay: str = "1h", key: str = "a", **headers: str) -> bytes:
    return block(Mq9_Key=key, Mq9_Delay=delay, **headers)


def payloads(wire: Wire, address: str, **fields: Any) -> list[str]:
    return [message["payload"] for message in wire.list(address, **fields)["messages"]]


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("last", [delayed(), delayed("30m"), KEYED], ids=["same", "other time", "now"])
@pytest.mark.parametrize("first", [delayed(), KEYED], ids=["delayed", "placed"])
def test_new_message_replaces_the_one_with_its_key(
    wire: Wire, address: str, first: bytes, last: bytes, at_once: bool
) -> None:
    wire.create(name=address)
    wire.msg(address, "other", delayed(key="b"))
    for text, header in (("first", first), ("second", delayed("2h")), ("last", last)):
        wire.pub(f"{MAILBOX}MSG.{address}", text, header=header)
        if not at_once:
            wire.ping()
    assert sorted(payloads(wire, address)) == ["last", "other"]
    assert payloads(wire, address, key="a") == ["last"]
    assert payloads(wire, address, key="b") == ["other"]
    found = wire.list(address)
    assert found["total"] == 2
    assert found["mailbox"]["bytes"] == len(last) + len("last") + len(delayed(key="b")) + len("other")
    assert wire.delete(address, 1) == wire.delete(address, 2) == {"deleted": False}
    assert wire.delete(address, 3) == {"deleted": True}


def test_priority_of_the_replaced_one_makes_no_difference(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(f"{address}.critical", "first", delayed())
    assert payloads(wire, address, key="a", priority="critical") == ["first"]
    assert payloads(wire, address, key="a", priority="normal") == []
    wire.msg(address, "last", delayed())
    assert payloads(wire, address) == payloads(wire, address, key="a", priority="normal") == ["last"]


@pytest.mark.parametrize("kill", [False, True])
def test_replaced_message_never_comes(start_broker: StartBroker, kill: bool) -> None:
    """Neither before a restart nor after it. The last one of a key comes once, and keeps its key."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.msg("box", "first", delayed("500ms"))
        wire.msg("box", "last", delayed("1s"))
        wire.msg("box", "gone", delayed("500ms", key="b"))
        wire.msg("box", "now", block(Mq9_Key="b"))
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        wire.subscribe("box")
        assert texts(wire.messages(2)) == ["now", "last"]
        assert wire.silent(0.5)
        assert payloads(wire, "box", key="a") == ["last"]
        assert wire.list("box", key="a")["messages"][0]["msg_id"] == 1
        wire.msg("box", "new", KEYED)
        assert texts(wire.messages(1)) == ["new"]
        assert payloads(wire, "box") == ["now", "new"]


def test_message_that_was_due_is_replaced(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    wire.msg(address, "later", block(Mq9_Key="a", Mq9_Delay="10ms"))
    assert texts(wire.messages(1)) == ["later"]
    wire.msg(address, "new", block(Mq9_Key="a"))
    assert texts(wire.messages(1)) == ["new"]
    assert [message["payload"] for message in wire.list(address)["messages"]] == ["new"]
    assert wire.delete(address, 0) == {"deleted": False}


def test_member_holds_what_a_delayed_message_replaces(wire: Wire, address: str, member: Connect) -> None:
    """Both are there. The old one is not given out again."""
    wire.create(name=address)
    wire.msg(address, "old", KEYED)
    worker = member()
    (held,) = worker.messages(1)
    wire.msg(address, "new", delayed("1s"))
    assert payloads(wire, address) == ["old", "new"]
    refuse(worker, held)
    wait_until(lambda: payloads(wire, address) == ["new"])
    assert texts(worker.messages(1)) == ["new"]
    assert worker.silent(0)


def test_member_holds_the_message_that_was_due(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address)
    worker = member()
    wire.msg(address, "old", delayed("10ms"))
    (held,) = worker.messages(1)
    wire.msg(address, "new", KEYED)
    assert texts(worker.messages(1)) == ["new"]
    assert payloads(wire, address) == ["old", "new"]
    acknowledge(worker, held)
    wait_until(lambda: payloads(wire, address) == ["new"])


def test_replacing_takes_no_room(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=1)
    wire.msg(address, "a", delayed())
    assert wire.msg(address, "x", delayed(key="b"))["code"] == "limit_exceeded"
    assert wire.msg(address, "b", delayed())["msg_id"] == 1
    assert wire.msg(address, "c", KEYED) == {"msg_id": 2}
    assert wire.msg(address, "d", delayed())["msg_id"] == 3
    assert payloads(wire, address) == ["d"]


def test_receipt_and_event_of_a_replaced_message(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, receipts_to=log)
    wire.sub(f"{MAILBOX}EVENT.{address}.*", "e")
    assert wire.message().json["event"] == "alive"
    for _ in range(3):
        wire.msg(address, "x", delayed())
    assert [each["payload"] for each in wire.list(log)["messages"]] == [
        f'{{"mail_address":"{address}","msg_id":{number},"event":"replaced"}}' for number in range(2)
    ]
    assert [message.json["msg_id"] for message in wire.messages(2)] == [0, 1]


def test_keys_of_cancelled_messages_take_no_space_for_ever(wire: Wire, address: str, broker: Broker) -> None:
    """Rows of keys are swept, but not those of delayed messages that are still there."""
    wire.create(name=address)
    wire.msg(address, "kept", delayed(key="kept"))
    for number in range(3000):
        wire.pub(f"{MAILBOX}MSG.{address}", "x", header=delayed(key=str(number)))
    for number in range(3000):
        wire.pub(f"{MAILBOX}DELETE.{address}.{number + 1}")
    wire.ping()
    wait_until(lambda: wire.list(address)["total"] == 1)
    wire.msg(address, "new", delayed(key="new"))
    assert payloads(wire, address, key="kept") == ["kept"]
    wire.msg(address, "replaced", delayed(key="kept"))
    assert payloads(wire, address) == ["new", "replaced"]
