"""Answers when writes or fsyncs fail: a question and its answer are never both gone, nor both there."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.faults.mailbox import REPLIES, publish, wait_until_writable
from tests.support.questions import ask
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire


@pytest.fixture
def wire(faulty_broker: BrokerOnFaultyStore) -> Iterator[Wire]:
    with Wire(faulty_broker.port) as wire:
        wire.sub(REPLIES, "9")
        wire.create(name="approvals")
        wire.create(name="asker")
        ask(wire, "approvals", "may I?", "asker")
        yield wire


def payloads(wire: Wire, address: str) -> list[Any]:
    page = wire.list(address)
    assert page["total"] == len(page["messages"])
    for message in page["messages"]:
        if address == "asker" and message["headers"]:
            assert wire.list(address, key=message["key"])["messages"] == [message]
    return [message["payload"] for message in page["messages"]]


@pytest.mark.parametrize("queue", ["", "approvers"])
def test_failed_write_keeps_the_question(faulty_broker: BrokerOnFaultyStore, wire: Wire, queue: str) -> None:
    wire.subscribe("approvals", "1", queue)
    question = wire.message()
    faulty_broker.faults.failing_writes = 1
    wire.pub(question.reply, "yes", REPLIES)
    assert wire.message().json["code"] == "store_unavailable"
    wait_until_writable(wire, "asker")
    assert payloads(wire, "approvals") == ["may I?"] and payloads(wire, "asker") == []
    wire.pub(question.reply, "no", REPLIES)
    assert wire.message().json["answer"]["mail_address"] == "asker"
    assert payloads(wire, "approvals") == [] and payloads(wire, "asker") == ["no"]


@pytest.mark.parametrize("queue", ["", "approvers"])
def test_failed_fsync_leaves_either_the_question_or_the_answer(
    faulty_broker: BrokerOnFaultyStore, wire: Wire, queue: str
) -> None:
    """The store has both changes. Messages of clients in the same commit group are taken back."""
    wire.subscribe("approvals", "1", queue)
    question = wire.message()
    with Wire(faulty_broker.port) as asker:
        asker.subscribe("asker")
        asker.ping()
        faulty_broker.faults.may_sync.clear()
        faulty_broker.faults.failing_syncs = 1
        publish(wire, "MSG.asker", "before")
        # That one is being fsynced; these share the next group with the answer, and it fails too.
        wire.pub(question.reply, "yes", REPLIES)
        publish(wire, "MSG.asker", "after")
        faulty_broker.faults.may_sync.set()
        assert [message.json["code"] for message in wire.messages(3)] == ["store_unavailable"] * 3
        wait_until_writable(wire, "asker")
        assert payloads(wire, "approvals") + payloads(wire, "asker") in (["may I?"], ["yes"])
        if payloads(wire, "asker"):
            assert asker.message().payload == b"yes"
            assert wire.delete("approvals", 0) == {"deleted": False}
        else:
            assert wire.request(question.reply, "later").json["answer"]["mail_address"] == "asker"
            assert asker.message().payload == b"later"


def test_failed_fsync_of_an_answer_among_messages(faulty_broker: BrokerOnFaultyStore, wire: Wire) -> None:
    """The answer was in the group whose fsync failed: it stays, with the deletion of its question."""
    ask(wire, "approvals", "and I?", "asker")
    with Wire(faulty_broker.port) as asker:
        asker.subscribe("asker")
        asker.ping()
        faulty_broker.faults.may_sync.clear()
        faulty_broker.faults.failing_syncs = 1
        frames = [
            ("MSG.asker", "a"),
            ("DELETE.approvals.0", "yes"),
            ("MSG.asker", "b"),
            ("MSG.asker", "c"),
            ("DELETE.approvals.1", "no"),
        ]
        wire.send("".join(f"PUB {MAILBOX}{subject} {REPLIES} {len(b)}\r\n{b}\r\n" for subject, b in frames))
        wire.ping()
        faulty_broker.faults.may_sync.set()
        assert [message.json["code"] for message in wire.messages(5)] == ["store_unavailable"] * 5
        wait_until_writable(wire, "asker")
        wait_until(lambda: payloads(wire, "asker") == ["yes", "no"])
        assert payloads(wire, "approvals") == []
        assert [message.payload for message in asker.messages(2)] == [b"yes", b"no"]
        assert asker.silent()
