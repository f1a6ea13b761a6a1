"""What the broker composes (answers, receipts, dead letters) in mailboxes with keys and `discard` "old"."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.questions import answer, ask, block, stored
from tests.support.wire_client import MAILBOX, Wire


def payloads(wire: Wire, address: str, **fields: Any) -> list[str]:
    return [message["payload"] for message in wire.list(address, **fields)["messages"]]


def test_answer_is_found_by_its_question(wire: Wire, address: str) -> None:
    asker = f"{address}.asker"
    wire.create(name=address)
    wire.create(name=asker)
    for body in ("one?", "two?"):
        ask(wire, address, body, asker)
    assert answer(wire, address, 1, "two")["answer"]["msg_id"] == 0
    assert answer(wire, address, 0, "one")["answer"]["msg_id"] == 1
    for number, body in enumerate(("one", "two")):
        key = f"{address}/{number}"
        [message] = wire.list(asker, key=key)["messages"]
        assert (message["payload"], message["key"]) == (body, key)
        assert message["headers"] == {"Mq9-In-Reply-To": key}
    assert payloads(wire, asker, key=f"{address}/2") == []
    wire.delete(asker, 0)
    assert payloads(wire, asker, key=f"{address}/1") == []
    assert payloads(wire, asker) == ["one"]


@pytest.mark.parametrize("kill", [False, True])
def test_answer_is_found_after_a_restart(start_broker: Callable[..., Broker], kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="approvals")
        wire.create(name="asker")
        ask(wire, "approvals", "may I?", "asker")
        answer(wire, "approvals", 0, "yes")
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        assert payloads(wire, "asker", key="approvals/0") == ["yes"]


def test_answer_of_a_later_mailbox_replaces_that_of_an_earlier_one(wire: Wire, address: str) -> None:
    """The msg_ids of a mailbox that is created again begin at 0 again."""
    asker = f"{address}.asker"
    wire.create(name=asker)
    for body in ("first", "second"):
        created = wire.create(name=address, ttl=1)
        while not created["is_new"]:
            created = wire.create(name=address)
        ask(wire, address, "may I?", asker)
        assert answer(wire, address, 0, body)["deleted"]
        wire.sub(f"{MAILBOX}EVENT.{address}", "e")
        while wire.message().json["event"] != "expired":
            pass
        wire.send("UNSUB e\r\n")
    assert payloads(wire, asker) == payloads(wire, asker, key=f"{address}/0") == ["second"]


def test_answer_drops_the_oldest_message(wire: Wire, address: str) -> None:
    asker = f"{address}.asker"
    wire.create(name=address)
    wire.create(name=asker, max_messages=1, discard="old")
    for body in ("one?", "two?"):
        ask(wire, address, body, asker)
        number = wire.list(address)["messages"][0]["msg_id"]
        assert answer(wire, address, number, body[:3])["answer"]["mail_address"] == asker
    assert payloads(wire, asker) == ["two"]
    assert wire.list(asker)["mailbox"]["bytes"] == stored(wire, asker)[0]["size"] + len(
        block(Mq9_In_Reply_To=f"{address}/1")
    )


def test_answer_does_not_drop_its_own_question(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=1, discard="old")
    ask(wire, address, "may I?", address)
    assert answer(wire, address, 0, "yes")["answer"] == {"mail_address": address, "msg_id": 1}
    assert payloads(wire, address) == ["yes"]


def test_answer_that_is_too_large_drops_nothing(wire: Wire, address: str) -> None:
    asker = f"{address}.asker"
    wire.create(name=address)
    wire.create(name=asker, max_bytes=200, discard="old")
    wire.msg(asker, "kept")
    ask(wire, address, "may I?", asker)
    assert answer(wire, address, 0, "y" * 200)["code"] == "limit_exceeded"
    assert payloads(wire, asker) == ["kept"]
    assert payloads(wire, address) == ["may I?"]


def test_receipt_drops_the_oldest_message(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log, max_messages=2, discard="old")
    wire.create(name=address, receipts_to=log)
    for number in range(5):
        wire.msg(address, "task")
        wire.delete(address, number)
    assert [receipt.split('"msg_id":')[1][0] for receipt in payloads(wire, log)] == ["3", "4"]


def test_dead_letter_drops_the_oldest_message(wire: Wire, address: str) -> None:
    target = f"{address}.dead"
    wire.create(name=target, max_messages=1, discard="old")
    wire.create(name=address, dead_letter=target)
    for number in range(3):
        wire.msg(address, f"task {number}")
        assert wire.delete(address, number, b"+TERM") == {"deleted": True}
    assert payloads(wire, target) == ["task 2"]


@pytest.mark.parametrize("options", [{"max_messages": 1, "discard": "old"}, {}])
def test_mailbox_that_is_never_empty_waits_once(wire: Wire, address: str, options: dict[str, Any]) -> None:
    """What replaces the only message is not the first one that came."""
    wire.create(name=address, **options)
    wire.sub(f"{MAILBOX}EVENT.{address}", "e")
    header = b"" if options else block(Mq9_Key="a")
    for body in "abc":
        wire.msg(address, body, header)
    wire.delete(address, 2)
    wire.msg(address, "d", header)
    events = [message.json["event"] for message in wire.messages(3)]
    assert events == ["alive", "waiting", "waiting"]
    assert wire.silent()
