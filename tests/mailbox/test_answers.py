"""Answers to messages with Mq9-Reply-To: one commit sends the answer and deletes the question."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect
from tests.support.nats_py import connect
from tests.support.questions import answer, ask, block, stored
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

SENT = {"deleted": True}


@pytest.fixture
def asker(wire: Wire, address: str) -> str:
    """The mailbox of a client that asks. The questions are in the mailbox `address`."""
    wire.create(name=address)
    wire.create(name=f"{address}.asker")
    return f"{address}.asker"


def won(asker: str, msg_id: int) -> dict[str, Any]:
    """The reply to the answer that counts."""
    return {"deleted": True, "answer": {"mail_address": asker, "msg_id": msg_id}}


def test_answer_is_sent_and_the_question_deleted(wire: Wire, address: str, asker: str) -> None:
    ask(wire, address, "may I?", asker, Mq9_Correlation_Id="deploy 7")
    assert answer(wire, address, 0, "yes") == won(asker, 0)
    assert stored(wire, address) == []
    [message] = stored(wire, asker)
    assert message["payload"] == "yes"
    assert message["priority"] == "normal"
    assert message["headers"] == {"Mq9-In-Reply-To": f"{address}/0", "Mq9-Correlation-Id": "deploy 7"}
    assert answer(wire, address, 0, "no") == {"deleted": False}
    assert len(stored(wire, asker)) == 1


@pytest.mark.parametrize("priority", ["critical", "urgent", "normal"])
@pytest.mark.parametrize("queue", ["", "workers"])
def test_answer_on_the_reply_subject_has_the_priority_of_the_question(
    wire: Wire, address: str, asker: str, priority: str, queue: str
) -> None:
    ask(wire, f"{address}.{priority}", "may I?", asker)
    wire.subscribe(address, "1", queue)
    question = wire.message()
    wire.subscribe(asker, "2")
    assert wire.request(question.reply, "yes").json == won(asker, 0)
    delivered = wire.message()
    assert delivered.sid == "2"
    assert delivered.subject == f"{MAILBOX}MSG.{asker}" + ("" if priority == "normal" else f".{priority}")
    assert delivered.header == block(Mq9_In_Reply_To=f"{address}/0")
    assert delivered.payload == b"yes"
    assert stored(wire, asker)[0]["priority"] == priority


def test_headers_of_the_answer(wire: Wire, address: str, asker: str) -> None:
    """Options and what only the broker writes are left out, in any case; clients repeat the question's."""
    ask(wire, address, "may I?", asker, mq9_correlation_id="c")
    repeated = {
        "Nats_Msg_Id": "1",
        "nats_TTL": "5s",
        "MQ9_Reply_To": "elsewhere",
        "Mq9_Correlation_Id": "forged",
        "Mq9_From": "boss",
        "mq9_in_reply_to": "forged/1",
        "Tag": "a",
        "tag": "b",
    }
    assert answer(wire, address, 0, "yes", **repeated) == won(asker, 0)
    assert stored(wire, asker)[0]["headers"] == {
        "Mq9-In-Reply-To": f"{address}/0",
        "Mq9-Correlation-Id": "c",
        "Tag": "a",
        "tag": "b",
    }


def test_malformed_headers_of_an_answer_are_refused(wire: Wire, address: str, asker: str) -> None:
    ask(wire, address, "may I?", asker)
    for bad in (b"NATS/1.0\r\nA : b\r\n\r\n", block(Mq9_Form="x"), block(Nats_Expected_Stream="x")):
        reply = wire.request(f"{MAILBOX}DELETE.{address}.0", b"yes", bad).json
        assert reply["code"] == "bad_request"
    assert len(stored(wire, address)) == 1 and stored(wire, asker) == []


@pytest.mark.parametrize("body", [b"", b"+ACK", b"+NXT", b"+NXT 5", b"+ACK\r\n", b"+TERM no"])
def test_control_word_is_no_answer(wire: Wire, address: str, asker: str, body: bytes) -> None:
    ask(wire, address, "may I?", asker)
    assert answer(wire, address, 0, body) == SENT
    assert stored(wire, address) == stored(wire, asker) == []


@pytest.mark.parametrize("body", [b"-NAK", b"+WPI", b'-NAK {"delay": 1}', b"+WPI\n"])
def test_control_word_that_deletes_nothing(wire: Wire, address: str, asker: str, body: bytes) -> None:
    ask(wire, address, "may I?", asker)
    assert answer(wire, address, 0, body) == {"deleted": False}
    assert stored(wire, asker) == []


@pytest.mark.parametrize("body", [b"+", b"-", b"+ACKnowledged", b"-NAK!", b"+WPIx", b"+TERMs", b"\0", b" "])
def test_body_that_begins_like_a_control_word_is_an_answer(
    wire: Wire, address: str, asker: str, body: bytes
) -> None:
    ask(wire, address, "may I?", asker)
    assert answer(wire, address, 0, body) == won(asker, 0)
    assert stored(wire, asker)[0]["size"] == len(body)


def test_message_without_reply_to_is_only_deleted(wire: Wire, address: str, asker: str) -> None:
    wire.msg(address, "a task", block(Mq9_Correlation_Id="c"))
    wire.msg(address, "another")
    assert answer(wire, address, 0, "done") == SENT
    assert answer(wire, address, 1, "done") == SENT
    assert stored(wire, asker) == []


def test_answer_in_the_packet_of_its_question(wire: Wire, address: str, asker: str) -> None:
    """The question is not written yet when it is answered."""
    wire.sub("replies", "9")
    header = block(Mq9_Reply_To=asker)
    question = f"{MAILBOX}MSG.{address} replies {len(header)} {len(header) + 1}\r\n{header.decode()}?\r\n"
    for number in range(3):
        wire.send(f"HPUB {question}PUB {MAILBOX}DELETE.{address}.{number} replies 3\r\nyes\r\n" * 1)
    replies = [message.json for message in wire.messages(6)]
    assert replies == [reply for n in range(3) for reply in ({"msg_id": n}, won(asker, n))]
    assert stored(wire, address) == [] and len(stored(wire, asker)) == 3


def test_questions_and_tasks_in_one_record_batch(wire: Wire, address: str, asker: str) -> None:
    wire.sub("replies", "9")
    header = block(Mq9_Reply_To=asker)
    question = b"HPUB %b replies %d %d\r\n%b?\r\n" % (
        f"{MAILBOX}MSG.{address}".encode(),
        len(header),
        len(header) + 1,
        header,
    )
    wire.send((question + f"PUB {MAILBOX}MSG.{address} replies 1\r\n!\r\n".encode()) * 20)
    wire.messages(40)
    replies = [answer(wire, address, msg_id, f"{msg_id}") for msg_id in reversed(range(40))]
    assert replies == [SENT if n % 2 == 0 else won(asker, n // 2) for n in range(40)]
    assert [m["payload"] for m in stored(wire, asker)] == [f"{n}" for n in range(38, -1, -2)]


def test_of_two_answers_one_counts(wire: Wire, broker: Broker, address: str, asker: str) -> None:
    with Wire(broker.port) as other:
        for client in (wire, other):
            client.sub("replies", "9")
        for msg_id in range(50):
            ask(wire, address, "may I?", asker)
            for client in (wire, other):
                client.pub(f"{MAILBOX}DELETE.{address}.{msg_id}", "yes", "replies")
            outcomes = sorted((client.message().json for client in (wire, other)), key=len)
            assert outcomes == [{"deleted": False}, won(asker, msg_id)]
    assert len(stored(wire, asker)) == 50


def test_question_to_two_groups_is_answered_once(
    wire: Wire, address: str, asker: str, member: Connect
) -> None:
    members = [member("one"), member("two")]
    ask(wire, address, "may I?", asker)
    questions = [each.message() for each in members]
    assert members[0].request(questions[0].reply, "yes").json == won(asker, 0)
    assert members[1].request(questions[1].reply, "no").json == {"deleted": False}
    assert [m["payload"] for m in stored(wire, asker)] == ["yes"]


def test_question_that_another_member_gets_keeps_its_reply_to(
    wire: Wire, address: str, asker: str, member: Connect
) -> None:
    first = member()
    ask(wire, address, "may I?", asker)
    first.message()
    first.close()
    second = member()
    assert second.request(second.message().reply, "yes").json == won(asker, 0)


def test_full_mailbox_of_the_asker_keeps_the_question(wire: Wire, address: str, asker: str) -> None:
    wire.create(name=asker, max_messages=1)
    ask(wire, address, "first?", asker)
    ask(wire, address, "second?", asker)
    assert answer(wire, address, 0, "yes") == won(asker, 0)
    assert answer(wire, address, 1, "yes")["code"] == "limit_exceeded"
    assert [m["payload"] for m in stored(wire, address)] == ["second?"]
    wire.delete(asker, 0)
    assert answer(wire, address, 1, "yes") == won(asker, 1)


def test_bytes_of_the_answer_count(wire: Wire, address: str, asker: str) -> None:
    wire.create(name=asker, max_bytes=200)
    ask(wire, address, "may I?", asker)
    assert answer(wire, address, 0, "x" * 180)["code"] == "limit_exceeded"
    assert answer(wire, address, 0, "x" * 80) == won(asker, 0)
    header = block(Mq9_In_Reply_To=f"{address}/0")
    assert wire.list(asker)["mailbox"]["bytes"] == len(header) + 80


def test_mailbox_of_the_asker_is_gone(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address)
    ask(wire, address, "may I?", f"{address}.never")
    wire.create(name=f"{address}.short", ttl=1)
    ask(wire, address, "may I?", f"{address}.short")
    wait_until(lambda: "code" in wire.list(f"{address}.short"))
    for msg_id in range(2):
        assert answer(wire, address, msg_id, "yes") == {
            "deleted": True,
            "answer": None,
            "reason": "mailbox_not_found",
        }
        assert answer(wire, address, msg_id, "yes") == {"deleted": False}
    assert stored(wire, address) == []


def test_answer_starts_the_ttl_of_the_asker_again(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.create(name=f"{address}.asker", ttl=2)
    for msg_id in range(4):
        ask(wire, address, "may I?", f"{address}.asker")
        assert wire.silent(0.8)
        assert answer(wire, address, msg_id, "yes") == won(f"{address}.asker", msg_id)


def test_mailbox_that_asks_itself(wire: Wire, address: str) -> None:
    wire.create(name=address)
    ask(wire, address, "may I?", address)
    assert answer(wire, address, 0, "yes") == won(address, 1)
    assert [m["payload"] for m in stored(wire, address)] == ["yes"]


@pytest.mark.parametrize("reply_to", ["Not.Lower", "a..b", "a.urgent", "*", "a b", "x" * 129, "a\xff"])
def test_reply_to_must_be_an_address(wire: Wire, address: str, reply_to: str) -> None:
    wire.create(name=address)
    assert ask(wire, address, "may I?", reply_to) == {
        "error": "A header that names a mailbox, such as Mq9-Reply-To, is not a mail_address.",
        "code": "bad_request",
    }
    assert stored(wire, address) == []


def test_nats_py_answers_with_respond(broker: Broker, wire: Wire, address: str, asker: str) -> None:
    """nats-py repeats the question's headers in its response."""

    async def run() -> None:
        client = await connect(f"nats://127.0.0.1:{broker.port}")
        subscription = await client.subscribe(f"{MAILBOX}MSG.{address}", queue="approvers")
        answers = await client.subscribe(f"{MAILBOX}MSG.{asker}")
        headers = {"Mq9-Reply-To": asker, "Mq9-Correlation-Id": "7", "Nats-Msg-Id": "once", "Tag": "a"}
        await client.request(f"{MAILBOX}MSG.{address}", b"may I?", headers=headers)
        question = await subscription.next_msg(WAIT_SECONDS)
        await question.respond(json.dumps({"approved": True}).encode())
        message = await answers.next_msg(WAIT_SECONDS)
        assert json.loads(message.data) == {"approved": True}
        assert message.headers == {
            "Mq9-In-Reply-To": f"{address}/0",
            "Mq9-Correlation-Id": "7",
            "Tag": "a",
        }
        await client.close()

    asyncio.run(run())
    wait_until(lambda: stored(wire, address) == [])
