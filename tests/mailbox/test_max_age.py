"""max_age: how long each message of a mailbox lives, in deliveries, LIST, counts and limits."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import acknowledge, publish_many
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


def payloads(wire: Wire, address: str) -> list[str]:
    return [message["payload"] for message in wire.list(address)["messages"]]


def total(wire: Wire, address: str) -> int:
    # The count of the mailbox, which is not that of the page.
    return int(wire.list(address, priority="critical")["total"])


def size(wire: Wire, address: str) -> int:
    return int(wire.list(address)["mailbox"]["bytes"])


@pytest.mark.parametrize("value", [-1, "1", True, None, 3162240001, [1], 1e300])
def test_wrong_max_age_is_refused(wire: Wire, address: str, value: Any) -> None:
    reply = wire.create(name=address, max_age=value)
    if value is None:
        assert "options" not in reply
    else:
        assert reply["code"] == "bad_request"
        assert "$.max_age" in reply["error"]


def test_max_age_is_shown(wire: Wire, address: str) -> None:
    for given, shown in ((60, 60), (0.25, 0.25), (3162240000, 3162240000), (0.0001, 0.001)):
        assert wire.create(name=address, max_age=given)["options"] == {"max_age": shown}
    assert wire.create(name=address, max_age=0)["options"] == {}


def test_message_lives_for_max_age(wire: Wire, address: str) -> None:
    wire.create(name=address, max_age=1.5)
    began = time.monotonic()
    for send in ("", ".urgent", ".critical"):
        wire.msg(address + send, "x")
    sent = time.monotonic()
    while payloads(wire, address) == ["x"] * 3:
        assert time.monotonic() < sent + WAIT_SECONDS
    assert time.monotonic() - began >= 1.5
    wait_until(lambda: payloads(wire, address) == [])
    wait_until(lambda: (total(wire, address), size(wire, address)) == (0, 0))
    # Well within the second that is promised, on an idle machine.
    assert time.monotonic() - sent < 1.5 + WAIT_SECONDS
    assert wire.msg(address, "y") == {"msg_id": 3}
    assert payloads(wire, address) == ["y"]


def test_later_max_age_applies_to_stored_messages(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "old")
    wire.msg(f"{address}.urgent", "old")
    time.sleep(1.1)
    wire.msg(address, "new")
    wire.create(name=address, max_age=1000)
    assert payloads(wire, address) == ["old", "old", "new"]
    wire.create(name=address, max_age=1)
    assert payloads(wire, address) == ["new"]
    wire.create(name=address, max_age=1000)
    wait_until(lambda: total(wire, address) in {1, 3})
    wire.create(name=address, max_age=0)
    assert "new" in payloads(wire, address)


def test_max_age_that_is_removed_ends(wire: Wire, address: str) -> None:
    wire.create(name=address, max_age=1)
    wire.msg(address, "x")
    wire.create(name=address, max_age=0)
    time.sleep(1.6)
    assert payloads(wire, address) == ["x"]
    wire.create(name=address, max_age=1)
    assert payloads(wire, address) == []
    wait_until(lambda: total(wire, address) == 0)


def test_expired_messages_do_not_count_against_limits(wire: Wire, address: str) -> None:
    wire.create(name=address, max_age=1, max_messages=2, max_bytes=2)
    assert [wire.msg(address, "x") for _ in range(2)] == [{"msg_id": 0}, {"msg_id": 1}]
    assert wire.msg(address, "x")["code"] == "limit_exceeded"
    wait_until(lambda: "msg_id" in wire.msg(address, "x"))


def test_expired_message_is_not_delivered(wire: Wire, broker: Broker, address: str) -> None:
    """To a subscriber or queue group that comes later; a live one got it before."""
    wire.create(name=address, max_age=1)
    wire.subscribe(address)
    wire.msg(address, "live")
    assert wire.message().payload == b"live"
    time.sleep(1.0)
    with Wire(broker.port) as late:
        late.subscribe(address)
        late.subscribe(address, "2", queue="g")
        late.ping()
        assert late.silent()
        wire.msg(address, "next")
        assert {message.payload for message in late.messages(2)} == {b"next"}


def test_expiry_ends_a_hold(wire: Wire, broker: Broker, address: str) -> None:
    """A later answer is told so, and nobody else gets the message."""
    wire.create(name=address, max_age=1)
    wire.msg(address, "x")
    with Wire(broker.port) as member:
        member.subscribe(address, queue="g")
        held = member.message()
        group = lambda: wire.list(address)["mailbox"]["groups"][0]  # noqa: E731
        assert group()["in_flight"] == 1
        wait_until(lambda: (group()["in_flight"], group()["waiting"]) == (0, 0))
        assert member.request(held.reply).json == {"deleted": False}
    with Wire(broker.port) as other:
        other.subscribe(address, queue="g")
        other.ping()
        assert other.silent()


def test_returned_message_that_expires_is_given_to_nobody(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address, max_age=1.2)
    wire.msg(f"{address}.urgent", "x")
    with Wire(broker.port) as member, Wire(broker.port) as other:
        member.subscribe(address, queue="g")
        member.message()
        # A member for another priority keeps the group.
        other.sub(f"$mq9.AI.MAILBOX.MSG.{address}.normal", queue="g")
        other.ping()
    with Wire(broker.port) as other:
        other.sub(f"$mq9.AI.MAILBOX.MSG.{address}.normal", queue="g")
        other.ping()
        time.sleep(1.2)
        other.subscribe(address, "2", queue="g")
        other.ping()
        assert other.silent()
        wire.msg(address, "next")
        acknowledge(other, other.message())


@pytest.mark.parametrize("kill", [False, True], ids=["stop", "kill"])
def test_messages_expire_while_the_broker_is_down(start_broker: StartBroker, kill: bool) -> None:
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box", max_age=2)
        publish_many(wire, "box", 1000, b"old")
        wire.create(name="other", max_age=1000)
        wire.msg("other", "stays")
        wire.list("box", limit=1)
        broker.kill() if kill else broker.stop()
        time.sleep(2)
        broker.start()
    with Wire(broker.port) as wire:
        assert payloads(wire, "box") == []
        wait_until(lambda: total(wire, "box") == 0)
        assert broker.metric("mq9fast_mailbox_messages_expired_total") == 1000
        assert payloads(wire, "other") == ["stays"]
        assert wire.msg("box", "new") == {"msg_id": 1000}
        broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        assert payloads(wire, "box") in ([], ["new"])


def test_many_messages_expire(wire: Wire, address: str) -> None:
    """Of all priorities, with some deleted before."""
    wire.create(name=address, max_age=3)
    for send in ("", ".urgent", ".critical", ""):
        publish_many(wire, address + send, 5000, b"x" * 20)
    for n in range(0, 20000, 7):
        wire.pub(f"$mq9.AI.MAILBOX.DELETE.{address}.{n}")
    wire.ping()
    wait_until(lambda: total(wire, address) == 0)
    listed = wire.list(address)
    assert (listed["messages"], listed["mailbox"]["bytes"]) == ([], 0)
    assert wire.msg(address, "y") == {"msg_id": 20000}
    assert payloads(wire, address) == ["y"]
