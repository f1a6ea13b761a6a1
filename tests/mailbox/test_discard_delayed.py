"""discard "old" in mailboxes with delayed messages: those go last, the oldest first."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, texts
from tests.support.questions import block
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

StartBroker = Callable[..., Broker]
LATER = block(Mq9_Delay="1h")


def payloads(wire: Wire, address: str) -> list[str]:
    return [message["payload"] for message in wire.list(address)["messages"]]


def publish(wire: Wire, address: str, *messages: tuple[str, bytes], at_once: bool = True) -> None:
    """Pairs of a text, which may begin with a priority and a blank, and headers."""
    for send, header in messages:
        priority, _, text = send.rpartition(" ")
        wire.pub(f"{MAILBOX}MSG.{address}{'.' + priority if priority else ''}", text, header=header)
        if not at_once:
            wire.ping()
    wire.ping()


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_delayed_messages_go_last(wire: Wire, address: str, at_once: bool) -> None:
    """Even urgent messages go before them. Of delayed ones the oldest of the least urgent priority goes."""
    wire.create(name=address, max_messages=4, discard="old")
    publish(
        wire, address, ("d1", LATER), ("urgent d2", LATER), ("d3", LATER), ("urgent u1", b""), at_once=at_once
    )
    assert payloads(wire, address) == ["u1", "d2", "d1", "d3"]
    for send, left in (
        (("n1", b""), ["n1", "d2", "d1", "d3"]),
        (("d4", LATER), ["d2", "d1", "d3", "d4"]),
        (("d5", LATER), ["d2", "d3", "d4", "d5"]),
        (("critical c1", b""), ["c1", "d2", "d4", "d5"]),
        (("d6", LATER), ["d2", "d4", "d5", "d6"]),
    ):
        publish(wire, address, send)
        assert payloads(wire, address) == left
    assert wire.list(address)["total"] == 4


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_only_the_last_delayed_message_stays(wire: Wire, address: str, at_once: bool) -> None:
    wire.create(name=address, max_messages=1, discard="old")
    publish(wire, address, *((f"d{n}", LATER) for n in range(200)), at_once=at_once)
    found = wire.list(address)
    assert [message["msg_id"] for message in found["messages"]] == [199]
    assert found["total"] == found["mailbox"]["delayed"] == 1
    assert found["mailbox"]["bytes"] == len(LATER) + len("d199")


@pytest.mark.parametrize("kill", [False, True])
def test_dropped_message_never_comes(start_broker: StartBroker, kill: bool) -> None:
    broker = start_broker()
    soon = block(Mq9_Delay="1s")
    with Wire(broker.port) as wire:
        wire.create(name="box", max_messages=2, discard="old")
        publish(wire, "box", ("gone", soon), ("d1", soon), ("d2", soon))
        # Its reply says that what was published before is stored.
        wire.create(name="another")
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        wire.subscribe("box")
        assert texts(wire.messages(2)) == ["d1", "d2"]
        assert wire.silent(0.3)
        publish(wire, "box", ("d3", LATER), ("d4", LATER), ("d5", LATER))
        assert payloads(wire, "box") == ["d4", "d5"]


def test_size(wire: Wire, address: str) -> None:
    """Large messages are in the value log. They go as well, as many as have to."""
    wire.create(name=address, max_bytes=100_000, discard="old")
    large = "x" * 20_000
    publish(wire, address, *((large, LATER) for _ in range(4)))
    assert wire.msg(address, "y" * 50_000) == {"msg_id": 4}
    left = wire.list(address, meta_only=True)["messages"]
    assert [message["msg_id"] for message in left] == [4, 2, 3]
    assert wire.msg(address, "z" * 100_001)["code"] == "limit_exceeded"
    assert wire.list(address)["total"] == 3


def test_held_messages_are_not_dropped_before_delayed_ones(wire: Wire, address: str, member: Connect) -> None:
    """If only held ones are left, the new message is refused."""
    wire.create(name=address, max_messages=2, discard="old")
    worker = member()
    publish(wire, address, ("n1", b""), ("d1", LATER))
    assert texts(worker.messages(1)) == ["n1"]
    assert wire.msg(address, "n2")["msg_id"] == 2
    assert texts(worker.messages(1)) == ["n2"]
    assert wire.msg(address, "n3")["code"] == "limit_exceeded"
    assert wire.msg(address, "d2", LATER)["code"] == "limit_exceeded"
    assert payloads(wire, address) == ["n1", "n2"]


def test_receipts_and_answers_make_room_too(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log, max_messages=1, discard="old")
    wire.create(name=address, receipts_to=log)
    wire.msg(log, "d", LATER)
    wire.msg(address, "x")
    assert wire.delete(address, 0) == {"deleted": True}
    (receipt,) = wire.list(log)["messages"]
    assert receipt["headers"]["Mq9-Receipt"] == "settled"


def test_receipts_of_dropped_messages(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, receipts_to=log, max_messages=1, discard="old")
    publish(wire, address, ("d1", LATER), ("d2", LATER), ("n", b""))
    told: list[Any] = [message["payload"] for message in wire.list(log)["messages"]]
    assert told == [
        f'{{"mail_address":"{address}","msg_id":{number},"event":"replaced"}}' for number in range(2)
    ]


def test_lower_limit_drops_many(wire: Wire, address: str) -> None:
    wire.create(name=address)
    publish(wire, address, *((f"d{n}", LATER) for n in range(2500)))
    wire.create(name=address, max_messages=3, discard="old")
    publish(wire, address, ("n", b""))
    wait_until(lambda: wire.list(address)["total"] == 3)
    assert payloads(wire, address)[-2:] == ["d2498", "d2499"]
