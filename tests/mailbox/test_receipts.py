"""Receipts: messages of the broker that say what became of another message."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import list_all, publish_many
from tests.support.questions import answer, ask, block, stored
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

StartBroker = Callable[..., Broker]


@pytest.fixture
def log(wire: Wire, address: str) -> str:
    """The mailbox that receives the receipts of messages in the mailbox `address`."""
    wire.create(name=address)
    wire.create(name=f"{address}.log")
    return f"{address}.log"


def receipts(wire: Wire, log: str) -> list[dict[str, Any]]:
    """The receipts in a mailbox, of which each says in its header what happened."""
    found = []
    for message in wire.list(log)["messages"]:
        receipt = wire.list(log, msg_id=message["msg_id"])["messages"][0]
        body: dict[str, Any] = json.loads(receipt["payload"])
        assert receipt["headers"] == {"Mq9-Receipt": body["event"]}
        assert receipt["priority"] == "normal"
        found.append(body)
    return found


def send(wire: Wire, address: str, receipt_to: str, **headers: str) -> int:
    return int(wire.msg(address, "task", block(Mq9_Receipt_To=receipt_to, **headers))["msg_id"])


def test_receipt_of_a_deleted_message(wire: Wire, address: str, log: str) -> None:
    send(wire, address, log)
    send(wire, f"{address}.critical", log)
    wire.msg(address, "no receipt")
    assert receipts(wire, log) == []
    for msg_id in (2, 1, 0):
        assert wire.delete(address, msg_id) == {"deleted": True}
    assert receipts(wire, log) == [
        {"mail_address": address, "msg_id": 1, "event": "settled", "how": "deleted"},
        {"mail_address": address, "msg_id": 0, "event": "settled", "how": "deleted"},
    ]
    assert wire.delete(address, 0) == {"deleted": False}
    assert len(receipts(wire, log)) == 2


@pytest.mark.parametrize("queue", ["", "workers"])
def test_receipt_of_a_delivered_message(wire: Wire, address: str, log: str, queue: str) -> None:
    wire.subscribe(address, "1", queue)
    send(wire, address, log)
    assert wire.request(wire.message().reply, "done").json == {"deleted": True}
    assert [receipt["how"] for receipt in receipts(wire, log)] == ["deleted"]


def test_receipt_of_an_answered_question(wire: Wire, address: str, log: str) -> None:
    wire.create(name=f"{address}.asker")
    ask(wire, address, "may I?", f"{address}.asker", Mq9_Receipt_To=log)
    ask(wire, address, "may I?", f"{address}.nobody", Mq9_Receipt_To=log)
    assert answer(wire, address, 0, "yes", Mq9_Receipt_To="elsewhere")["deleted"] is True
    assert answer(wire, address, 1, "yes")["reason"] == "mailbox_not_found"
    settled = {"mail_address": address, "event": "settled", "how": "answered"}
    assert receipts(wire, log) == [
        {**settled, "msg_id": 0, "answer": {"mail_address": f"{address}.asker", "msg_id": 0}},
        {**settled, "msg_id": 1, "answer": None},
    ]


def test_no_receipt_of_a_refused_answer(wire: Wire, address: str, log: str) -> None:
    wire.create(name=f"{address}.asker", max_bytes=1)
    ask(wire, address, "may I?", f"{address}.asker", Mq9_Receipt_To=log)
    assert answer(wire, address, 0, "yes")["code"] == "limit_exceeded"
    assert answer(wire, address, 0, "-NAK") == answer(wire, address, 0, "+WPI") == {"deleted": False}
    assert receipts(wire, log) == []


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ("settled", True),
        ("expired", False),
        ("expired,dead, replaced", False),
        ("dead ,\tsettled", True),
        ("settled,expired,dead,replaced", True),
    ],
)
def test_receipt_on_limits_the_events(wire: Wire, address: str, log: str, events: str, wanted: bool) -> None:
    wire.delete(address, send(wire, address, log, Mq9_Receipt_On=events))
    assert bool(receipts(wire, log)) is wanted


@pytest.mark.parametrize(
    "events", ["Settled", "all", "settled,", ",settled", "settled;dead", "settled,,dead"]
)
def test_wrong_receipt_on_is_refused(wire: Wire, address: str, log: str, events: str) -> None:
    for header in (block(Mq9_Receipt_To=log, Mq9_Receipt_On=events), block(Mq9_Receipt_On=events)):
        assert wire.msg(address, "task", header) == {
            "error": "The header Mq9-Receipt-On is a list of settled, expired, dead and replaced, "
            "with commas between them.",
            "code": "bad_request",
        }
    assert wire.msg(address, "task", block(Mq9_Receipt_To="A"))["code"] == "bad_request"
    assert stored(wire, address) == []


def test_option_asks_for_receipts_of_all_messages(wire: Wire, address: str, log: str) -> None:
    wire.msg(address, "before")
    options = {"receipts_to": log}
    assert wire.create(name=address, receipts_to=log)["options"] == options
    assert wire.list(address)["mailbox"]["options"] == options
    wire.msg(address, "after")
    send(wire, address, log, Mq9_Receipt_On="dead")
    send(wire, address, f"{log}2")
    wire.create(name=f"{log}2")
    for msg_id in range(4):
        wire.delete(address, msg_id)
    assert [receipt["msg_id"] for receipt in receipts(wire, log)] == [0, 1, 2, 3]
    assert [receipt["msg_id"] for receipt in receipts(wire, f"{log}2")] == [3]
    assert wire.create(name=address, receipts_to="")["options"] == {}
    wire.msg(address, "without")
    wire.delete(address, 4)
    assert len(receipts(wire, log)) == 4


@pytest.mark.parametrize(
    ("value", "code"),
    [(5, "bad_request"), ([], "bad_request"), ("A", "invalid_address"), ("a.urgent", "invalid_address")],
)
def test_wrong_option_is_refused(wire: Wire, address: str, value: Any, code: str) -> None:
    assert wire.create(name=address, receipts_to=value)["code"] == code


def test_receipts_have_no_receipts(wire: Wire, address: str, log: str) -> None:
    """Also where two mailboxes log each other."""
    wire.create(name=address, receipts_to=log)
    wire.create(name=log, receipts_to=address)
    wire.msg(address, "task")
    wire.delete(address, 0)
    assert len(receipts(wire, log)) == 1
    wire.delete(log, 0)
    assert stored(wire, address) == []


def test_receipt_without_room_is_dropped(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.create(name="log", max_messages=1)
        for receipt_to in ("log", "log", "nobody"):
            send(wire, "box", receipt_to)
        for msg_id in range(3):
            assert wire.delete("box", msg_id) == {"deleted": True}
        assert [receipt["msg_id"] for receipt in receipts(wire, "log")] == [0]
        assert broker.metric("mq9fast_receipts_total") == 1
        assert broker.metric("mq9fast_receipts_dropped_total") == 2


def test_receipts_do_not_start_a_ttl_again(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.create(name=f"{address}.log", ttl=2)
    for _ in range(4):
        send(wire, address, f"{address}.log")
    for msg_id in range(4):
        wire.delete(address, msg_id)
        wire.silent(0.8)
    assert wire.list(f"{address}.log")["code"] == "mailbox_not_found"


def test_subscriber_receives_receipts_as_they_come(wire: Wire, address: str, log: str) -> None:
    wire.subscribe(log)
    send(wire, address, log)
    wire.delete(address, 0)
    message = wire.message()
    assert message.subject == f"{MAILBOX}MSG.{log}"
    assert message.header == b"NATS/1.0\r\nMq9-Receipt: settled\r\n\r\n"


def test_receipt_of_a_message_of_an_earlier_run(start_broker: StartBroker) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="log")
        wire.create(name="box", receipts_to="log")
        wire.create(name="other")
        wire.msg("box", "task")
        send(wire, "other", "log")
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        wire.delete("box", 0)
        wire.delete("other", 0)
        assert [receipt["mail_address"] for receipt in receipts(wire, "log")] == ["box", "other"]


@pytest.mark.parametrize("by", ["max_age", "Nats-TTL"])
def test_receipts_of_expired_messages(wire: Wire, address: str, log: str, by: str) -> None:
    """A message that was deleted before has no second receipt."""
    wire.create(name=address, max_age=1 if by == "max_age" else 0)
    life = {"Nats_TTL": "1"} if by == "Nats-TTL" else {}
    for _ in range(2):
        send(wire, address, log, **life)
    send(wire, address, log, Mq9_Receipt_On="settled", **life)
    wire.msg(address, "no receipt", block(**life))
    wire.delete(address, 0)
    wait_until(lambda: stored(wire, address) == [] and len(receipts(wire, log)) == 2)
    assert receipts(wire, log)[1] == {"mail_address": address, "msg_id": 1, "event": "expired"}
    assert wire.silent(0.5)
    assert len(receipts(wire, log)) == 2


# Messages of mailboxes that end.


@pytest.mark.parametrize("count", [1, 5, 3000])
def test_receipts_of_the_messages_of_an_expired_mailbox(
    wire: Wire, address: str, log: str, count: int
) -> None:
    """Each once; not of those that were deleted before."""
    wire.create(name=f"{address}.short", receipts_to=log, ttl=1)
    publish_many(wire, f"{address}.short", count, b"task")
    wire.delete(f"{address}.short", 0)
    publish_many(wire, f"{address}.short.urgent", 1, b"task", 1)
    wait_until(lambda: len(list_all(wire, log)) == count + 1)
    events = sorted(
        (receipt["event"], receipt["msg_id"]) for receipt in map(loads, list_all(wire, log).values())
    )
    assert events == [("expired", n) for n in range(1, count + 1)] + [("settled", 0)]
    assert wire.silent(0.5)
    assert len(list_all(wire, log)) == count + 1


def loads(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def test_only_messages_that_ask_have_receipts_when_their_mailbox_expires(
    wire: Wire, address: str, log: str
) -> None:
    wire.create(name=f"{address}.short", ttl=1)
    wire.msg(f"{address}.short", "no receipt")
    send(wire, f"{address}.short", log)
    send(wire, f"{address}.short", log, Mq9_Receipt_On="settled")
    wait_until(lambda: receipts(wire, log) != [])
    assert receipts(wire, log) == [{"mail_address": f"{address}.short", "msg_id": 1, "event": "expired"}]
