"""dead_letter_expired: messages that nobody deleted before their life ended become dead letters."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, publish_many, refuse
from tests.support.questions import block
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

# How the life of a message ends: options of its mailbox, and its headers.
LIVES = [({"max_age": 1}, {}), ({}, {"Nats_TTL": "1s"}), ({"ttl": 1}, {})]
WAYS = ["max_age", "Nats-TTL", "mailbox"]
MESSAGES = 5000


def letters(wire: Wire, address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = wire.list(address).get("messages", [])
    return found


@pytest.mark.parametrize(("options", "headers"), LIVES, ids=WAYS)
def test_expired_message_becomes_a_dead_letter(
    wire: Wire, address: str, options: dict[str, Any], headers: dict[str, str]
) -> None:
    target, log = f"{address}.dead", f"{address}.log"
    wire.create(name=log)
    created = wire.create(name=address, dead_letter=target, dead_letter_expired=True, **options)
    assert created["options"]["dead_letter_expired"] is True
    wire.sub(f"{MAILBOX}EVENT.{address}.*", "e")
    for n, priority in enumerate((".urgent", "")):
        header = block(A="1", Mq9_Receipt_To=log, Mq9_Key=f"{n}", **headers)
        assert wire.msg(address + priority, f"task {n}", header)["msg_id"] == n
    wire.msg(address, "done", block(**headers))
    wire.delete(address, 2)
    wait_until(lambda: len(letters(wire, target)) == 2)
    for n, (letter, priority) in enumerate(zip(letters(wire, target), ("urgent", "normal"), strict=True)):
        assert (letter["payload"], letter["priority"]) == (f"task {n}", priority)
        assert letter["headers"]["A"] == "1"
        assert letter["headers"]["Mq9-Dead-From"] == f"{address}/{n}"
        assert letter["headers"]["Mq9-Dead-Reason"] == "expired"
        assert "key" not in letter
    receipts = [json.loads(message["payload"]) for message in letters(wire, log)]
    assert receipts == [
        {"mail_address": address, "msg_id": n, "event": "dead", "reason": "expired"} for n in range(2)
    ]
    if "ttl" not in options:
        assert wire.list(address)["total"] == 0
        events = [wire.message().json for _ in range(5)]
        assert {"event": "dead_letter", "msg_id": 1, "reason": "expired"} in events


def test_without_the_option_messages_expire(wire: Wire, address: str) -> None:
    target = f"{address}.dead"
    wire.create(name=target)
    wire.create(name=address, dead_letter=target, max_age=1)
    wire.msg(address, "task")
    wait_until(lambda: wire.list(address)["mailbox"]["bytes"] == 0)
    assert letters(wire, target) == []


def test_dead_letter_that_expires_is_dropped(wire: Wire, address: str) -> None:
    target = f"{address}.dead"
    wire.create(name=target, dead_letter=address, dead_letter_expired=True, max_age=1)
    wire.create(name=address, dead_letter=target, dead_letter_expired=True, max_age=1)
    wire.msg(address, "task")
    wait_until(lambda: len(letters(wire, target)) == 1)
    wait_until(lambda: wire.list(target)["mailbox"]["bytes"] == 0)
    assert letters(wire, address) == []


def test_deliveries_are_counted(wire: Wire, address: str, member: Connect) -> None:
    target = f"{address}.dead"
    wire.create(name=address, dead_letter=target, dead_letter_expired=True, ttl=2)
    wire.msg(address, "task")
    one = member()
    for _ in range(3):
        refuse(one, one.message())
    wait_until(lambda: len(letters(wire, target)) == 1)
    assert letters(wire, target)[0]["headers"]["Mq9-Deliveries"] == "3"


def test_delayed_message_of_an_ended_mailbox(wire: Wire, address: str) -> None:
    target = f"{address}.dead"
    wire.create(name=address, dead_letter=target, dead_letter_expired=True, ttl=1)
    wire.msg(f"{address}.critical", "alarm", block(Mq9_Delay="1h"))
    wait_until(lambda: [m["priority"] for m in letters(wire, target)] == ["critical"])


@pytest.mark.parametrize(("options", "headers"), LIVES, ids=WAYS)
def test_full_target(wire: Wire, address: str, options: dict[str, Any], headers: dict[str, str]) -> None:
    """The messages stay, nobody sees them, and they are moved when there is room."""
    target = f"{address}.dead"
    wire.create(name=target, max_messages=2)
    wire.create(name=address, dead_letter=target, dead_letter_expired=True, **options)
    for n in range(4):
        wire.msg(address, f"{n}", block(**headers))
    wait_until(lambda: len(letters(wire, target)) == 2)
    assert letters(wire, address) == []
    if "ttl" not in options:
        assert wire.delete(address, 3) == {"deleted": False}
        assert wire.list(address)["total"] == 0
    wire.create(name=target, max_messages=0)
    wait_until(lambda: len(letters(wire, target)) == 4)
    assert [m["payload"] for m in letters(wire, target)] == [f"{n}" for n in range(4)]


@pytest.mark.parametrize("options", [{"max_age": 1}, {"ttl": 1}], ids=["max_age", "mailbox"])
def test_each_comes_once_after_kills(start_broker: Callable[..., Broker], options: dict[str, Any]) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="dead")
        wire.create(name="box", dead_letter="dead", dead_letter_expired=True, **options)
        publish_many(wire, "box", MESSAGES, b"task")
    for _ in range(3):
        with Wire(broker.port) as wire:
            before = wire.list("dead", limit=1)["total"]
            while before < MESSAGES and wire.list("dead", limit=1)["total"] == before:
                wire.ping()
        broker.restart(kill=True)
    with Wire(broker.port) as wire:
        wait_until(lambda: wire.list("dead", limit=1)["total"] >= MESSAGES)
        found = []
        page = wire.list("dead", meta_only=True)
        found += page["messages"]
        while "next" in page:
            page = wire.list("dead", meta_only=True, cursor=page["next"])
            found += page["messages"]
    assert sorted(m["headers"]["Mq9-Dead-From"] for m in found) == sorted(f"box/{n}" for n in range(MESSAGES))


def test_delete_of_an_expired_message(wire: Wire, address: str) -> None:
    """It is gone from its millisecond on, although it is removed a little later."""
    wire.create(name=address, max_age=1)
    wire.create(name=f"{address}.own")
    for _ in range(5):
        number = wire.msg(address, "a")["msg_id"]
        own = wire.msg(f"{address}.own", "a", block(Nats_TTL="1s"))["msg_id"]
        wait_until(lambda: wire.list(address)["messages"] == wire.list(f"{address}.own")["messages"] == [])
        assert wire.delete(address, number) == {"deleted": False}
        assert wire.delete(f"{address}.own", own) == {"deleted": False}
