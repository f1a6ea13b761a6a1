"""Dead messages whose mailbox for dead letters is full: nobody gets them. They are moved once it has room."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, fill_mailbox, publish_many, refuse, texts
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

StartBroker = Callable[..., Broker]


def fill_target(wire: Wire, target: str, **options: Any) -> None:
    wire.create(name=target, max_messages=1, **options)
    wire.msg(target, "in the way")


def letters(wire: Wire, target: str) -> list[tuple[str, str]]:
    return [
        (message["headers"].get("Mq9-Dead-Reason", ""), message["payload"])
        for message in wire.list(target)["messages"]
    ]


@pytest.mark.parametrize("how", ["max_deliver", "terminated"])
@pytest.mark.parametrize("restart", ["", "stop", "kill"])
def test_without_any_group(start_broker: StartBroker, how: str, restart: str) -> None:
    """No plain subscriber gets a dead message, and it is moved although nobody reads its mailbox."""
    broker = start_broker()
    with Wire(broker.port) as wire, Wire(broker.port) as member:
        fill_target(wire, "dead")
        wire.create(name="tasks", dead_letter="dead", max_deliver=1)
        wire.msg("tasks", "poison")
        member.subscribe("tasks", queue="g")
        if how == "terminated":
            assert member.request(member.message().reply, "+TERM").json == {"deleted": True}
        else:
            refuse(member, member.message())
            wait_until(lambda: wire.list("tasks")["messages"][0].get("deliveries") == 1)
        assert member.silent(0.1)
    if restart:
        broker.restart(kill=restart == "kill")
    with Wire(broker.port) as wire, Wire(broker.port) as reader:
        wait_until(lambda: wire.list("tasks")["mailbox"]["groups"] == [])
        reader.subscribe("tasks")
        wire.msg("tasks", "fine")
        assert texts(reader.messages(1)) == ["fine"]
        assert reader.silent(1.5)
        assert wire.list("tasks")["total"] == 2
        wire.delete("dead", 0)
        wait_until(lambda: (how, "poison") in letters(wire, "dead"))
        assert [message["payload"] for message in wire.list("tasks")["messages"]] == ["fine"]


def test_others_are_moved_past_one_that_never_fits(wire: Wire, address: str, member: Connect) -> None:
    target = f"{address}.dead"
    wire.create(name=target, max_bytes=10_000)
    wire.create(name=address, dead_letter=target)
    one = member()
    wire.msg(address, "x" * 20_000)
    assert one.request(one.message().reply, "+TERM").json == {"deleted": True}
    wire.msg(target, "y" * 9_950)
    fill_mailbox(wire, address, *(f"n{number}" for number in range(40)))
    for message in one.messages(40):
        assert one.request(message.reply, "+TERM").json == {"deleted": True}
    assert wire.list(address)["total"] == 41
    wire.delete(target, 0)
    wait_until(lambda: wire.list(address)["total"] == 1)
    assert [payload for _, payload in letters(wire, target)] == [f"n{number}" for number in range(40)]
    wire.create(name=target, max_bytes=0)
    wait_until(lambda: wire.list(address)["total"] == 0)


def test_removed_option(wire: Wire, address: str, member: Connect) -> None:
    """Without a mailbox for dead letters, what waits is dropped. A higher max_deliver does not revive it."""
    target = f"{address}.dead"
    fill_target(wire, target)
    wire.create(name=address, dead_letter=target, max_deliver=1)
    one = member()
    wire.msg(address, "poison")
    refuse(one, one.message())
    wire.create(name=address, max_deliver=10)
    assert one.silent(1.5)
    assert wire.list(address)["total"] == 1
    wire.create(name=address, dead_letter="")
    wait_until(lambda: wire.list(address)["total"] == 0)
    assert letters(wire, target) == [("", "in the way")]


def test_message_that_has_failed_as_often_as_a_lower_max_deliver_allows(
    wire: Wire, address: str, member: Connect
) -> None:
    target = f"{address}.dead"
    fill_target(wire, target)
    wire.create(name=address, dead_letter=target, max_in_flight=0)
    one = member()
    fill_mailbox(wire, address, "n0")
    refuse(one, one.message())
    again = one.message()
    wire.create(name=address, max_deliver=1)
    one.sub(f"{MAILBOX}MSG.{address}", "plain")
    one.ping()
    assert [message.payload for message in one.messages(1)] == [b"n0"]
    refuse(one, again)
    assert one.silent(1.2)
    wire.delete(target, 0)
    wait_until(lambda: letters(wire, target) == [("max_deliver", "n0")])
    assert wire.list(target)["messages"][0]["headers"]["Mq9-Deliveries"] == "2"


def test_cost_of_many_that_wait(start_broker: StartBroker) -> None:
    """A second costs the same however many wait."""
    broker = start_broker()
    with Wire(broker.port) as wire, Wire(broker.port) as member:
        fill_target(wire, "dead")
        wire.create(name="tasks", dead_letter="dead")
        publish_many(wire, "tasks", 5000, b"x")
        member.subscribe("tasks", queue="g")
        for message in member.messages(5000):
            member.pub(message.reply, "+TERM")
        member.ping()
        wait_until(lambda: wire.list("tasks")["mailbox"]["groups"][0]["in_flight"] == 0)
        before = broker.cpu_seconds
        assert wire.silent(3)
        assert broker.cpu_seconds - before < 0.5
        wire.create(name="dead", max_messages=0)
        wait_until(lambda: wire.list("tasks")["total"] == 0)
        assert wire.list("dead")["total"] == 5001
