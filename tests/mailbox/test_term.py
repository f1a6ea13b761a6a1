"""+TERM while the mailbox for dead letters is full: nobody gets the message, and it is moved later."""

from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, fill_mailbox, texts
from tests.support.questions import block
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire


def test_full_target(wire: Wire, address: str, member: Connect) -> None:
    target = f"{address}.dead"
    wire.create(name=target, max_messages=1)
    wire.msg(target, "in the way")
    fill_mailbox(wire, address, "n0", "n1")
    wire.create(name=address, dead_letter=target)
    one = member()
    message = one.message()
    assert one.request(message.reply, "+TERM no such file").json == {"deleted": True}
    # No other gets it, of this group or of another.
    assert texts(one.messages(1)) == ["n1"]
    other = member("other")
    assert texts(other.messages(1)) == ["n1"]
    assert one.silent(1.2) and other.silent(0)
    [stored] = [each for each in wire.list(address)["messages"] if each["payload"] == "n0"]
    assert stored["deliveries"] == 1
    wire.delete(target, 0)
    wait_until(lambda: wire.list(address)["total"] == 1)
    [dead] = wire.list(target)["messages"]
    assert dead["payload"] == "n0"
    assert dead["headers"] == {
        "Mq9-Dead-From": f"{address}/0",
        "Mq9-Dead-Reason": "terminated",
        "Mq9-Dead-Text": "no such file",
        "Mq9-Deliveries": "1",
    }


def test_move_does_not_wait_for_a_free_member(wire: Wire, address: str, member: Connect) -> None:
    target = f"{address}.dead"
    wire.create(name=target, max_messages=1)
    wire.msg(target, "in the way")
    fill_mailbox(wire, address, "n0", "n1")
    wire.create(name=address, dead_letter=target, max_in_flight=1)
    one = member()
    assert one.request(one.message().reply, "+TERM").json == {"deleted": True}
    assert texts(one.messages(1)) == ["n1"]
    wire.create(name=target, max_messages=2)
    wait_until(lambda: wire.list(target)["total"] == 2)
    assert wire.list(address)["total"] == 1


@pytest.mark.parametrize("kill", [False, True])
def test_full_target_and_a_restart(start_broker: Callable[..., Broker], kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="dead", max_messages=1)
        wire.msg("dead", "in the way")
        wire.create(name="tasks", dead_letter="dead")
        wire.msg("tasks", "poison")
        wire.subscribe("tasks", queue="g")
        assert wire.request(wire.message().reply, "+TERM broken").json == {"deleted": True}
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        wire.subscribe("tasks", queue="g")
        assert wire.silent(0.3)
        wire.subscribe("tasks")
        assert wire.silent(0.3)
        wire.create(name="dead", max_messages=2)
        wait_until(lambda: wire.list("tasks")["total"] == 0)
        dead = wire.list("dead")["messages"][1]
        assert dead["headers"]["Mq9-Dead-Reason"] == "terminated"
        assert dead["headers"]["Mq9-Dead-Text"] == "broken"


def test_terminated_message_can_be_deleted(wire: Wire, address: str, member: Connect) -> None:
    target = f"{address}.dead"
    wire.create(name=target, max_messages=1)
    wire.msg(target, "in the way")
    fill_mailbox(wire, address, "n0")
    wire.create(name=address, dead_letter=target)
    one = member()
    assert one.request(one.message().reply, "+TERM").json == {"deleted": True}
    assert wire.delete(address, 0) == {"deleted": True}
    wire.create(name=target, max_messages=2)
    wire.msg(address, "n1")
    assert texts(one.messages(1)) == ["n1"]
    assert [each["payload"] for each in wire.list(target)["messages"]] == ["in the way"]


def test_headers_that_look_like_those_of_the_broker(wire: Wire, address: str) -> None:
    """Only names of headers count, not what a value or a payload says."""
    target = f"{address}.dead"
    wire.create(name=address, dead_letter=target)
    wire.msg(address, "\r\nMq9-Dead-From: x/1\r\n", block(A="Mq9-Dead-From: x/1", B="mq9-receipt: y"))
    assert wire.delete(address, 0, b"+TERM") == {"deleted": True}
    assert wire.list(target)["total"] == 1
