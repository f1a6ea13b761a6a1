"""Options of a mailbox: which CREATE accepts, how later ones change them, and limits of its size."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import acknowledge, exists, fill_mailbox, publish_many, refuse
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

# The largest number that is accepted.
LARGEST = 2**53 - 1


def payloads(wire: Wire, address: str) -> list[str]:
    return [message["payload"] for message in wire.list(address)["messages"]]


# The fields of CREATE.


def test_reply_shows_the_options_in_force(wire: Wire, address: str) -> None:
    """A reply without options means that the CREATE gave none: a misspelt name is seen."""
    created = wire.create(name=address, max_messages=5, max_bytes=LARGEST)
    assert created == {
        "mail_address": address,
        "is_new": True,
        "options": {"max_messages": 5, "max_bytes": LARGEST},
    }
    assert "options" not in wire.create(name=address)
    assert "options" not in wire.create(name=address, max_mesages=9, ttl=60)
    assert "options" not in wire.create(name=address, max_messages=None)


def test_later_create_changes_the_options_that_it_gives(wire: Wire, address: str) -> None:
    def options(**fields: Any) -> Any:
        return wire.create(name=address, **fields)["options"]

    assert options(max_messages=0) == {}
    assert options(max_messages=5) == {"max_messages": 5}
    assert options(max_bytes=100) == {"max_messages": 5, "max_bytes": 100}
    assert options(max_messages=7) == {"max_messages": 7, "max_bytes": 100}
    assert options(max_messages=0) == {"max_bytes": 100}
    assert options(max_bytes=0) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (field, value)
        for field in ("max_messages", "max_bytes", "max_in_flight")
        for value in (-1, 1.5, "1", True, [1], {}, LARGEST + 1, 1e30)
    ],
)
def test_wrong_option_is_refused_and_changes_nothing(
    wire: Wire, address: str, field: str, value: Any
) -> None:
    wire.create(name=address, max_messages=5, ttl=60)
    refused = wire.create(name=address, **{"max_messages": 9, field: value, "ttl": 1})
    assert refused["code"] == "bad_request"
    assert f"$.{field}" in refused["error"]
    assert wire.create(name=address, max_bytes=9)["options"] == {"max_messages": 5, "max_bytes": 9}
    unknown = wire.create(name=f"{address}.new", **{field: value})
    assert unknown["code"] == "bad_request"
    assert wire.list(f"{address}.new")["code"] == "mailbox_not_found"


def test_options_end_with_their_mailbox(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=1, ttl=1)
    assert wire.msg(address) == {"msg_id": 0}
    wait_until(lambda: not exists(wire, address))
    assert wire.create(name=address, max_bytes=100)["options"] == {"max_bytes": 100}
    assert [wire.msg(address) for _ in range(2)] == [{"msg_id": 0}, {"msg_id": 1}]


@pytest.mark.parametrize("kill", [False, True])
def test_options_survive_a_restart(start_broker: Callable[..., Broker], kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="a", max_messages=2, desc="described")
        wire.create(name="b", max_messages=2, max_bytes=7)
        wire.create(name="b", max_messages=0)
        wire.create(name="c", max_messages=2)
        wire.create(name="c", max_messages=0)
        for address in ("a", "b", "c"):
            wire.msg(address, "1234")
            wire.msg(address, "56")
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        assert wire.msg("a", "7")["code"] == "limit_exceeded"
        assert wire.msg("b", "789")["code"] == "limit_exceeded"
        assert wire.msg("b", "7") == {"msg_id": 2}
        assert wire.msg("c", "789") == {"msg_id": 2}
        assert wire.create(name="a", max_bytes=9)["options"] == {"max_messages": 2, "max_bytes": 9}
        assert wire.create(name="b", max_bytes=9)["options"] == {"max_bytes": 9}
        assert wire.create(name="c", max_bytes=9)["options"] == {"max_bytes": 9}


# max_messages and max_bytes.


def test_mailbox_takes_no_more_than_max_messages(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=2)
    for suffix, msg_id in (("", 0), (".critical", 1)):
        assert wire.msg(address + suffix, "x") == {"msg_id": msg_id}
    for suffix in ("", ".urgent", ".critical"):
        assert wire.msg(address + suffix, "x")["code"] == "limit_exceeded"
    wire.pub(f"{MAILBOX}MSG.{address}", "dropped")
    assert wire.list(address)["total"] == 2
    assert wire.delete(address, 0) == {"deleted": True}
    assert wire.msg(address, "x") == {"msg_id": 2}
    assert wire.msg(address, "x")["code"] == "limit_exceeded"


def test_mailbox_takes_no_more_than_max_bytes(wire: Wire, address: str) -> None:
    """Headers count."""
    header = b"NATS/1.0\r\nA: 1\r\n\r\n"
    wire.create(name=address, max_bytes=100)
    assert wire.msg(address, "x" * 101)["code"] == "limit_exceeded"
    assert wire.msg(address, "x" * 60) == {"msg_id": 0}
    assert wire.msg(address, "x" * (41 - len(header)), header)["code"] == "limit_exceeded"
    assert wire.msg(address, "x" * (40 - len(header)), header) == {"msg_id": 1}
    assert wire.msg(address, "x")["code"] == "limit_exceeded"
    assert wire.msg(address, "") == {"msg_id": 2}


def test_changed_limits_act_on_the_next_message(wire: Wire, address: str) -> None:
    """Messages past a lowered limit stay."""
    wire.create(name=address)
    for n in range(4):
        wire.msg(address, str(n))
    wire.create(name=address, max_messages=2)
    assert wire.msg(address)["code"] == "limit_exceeded"
    assert payloads(wire, address) == ["0", "1", "2", "3"]
    for n in range(2):
        wire.delete(address, n)
        assert wire.msg(address)["code"] == "limit_exceeded"
    wire.delete(address, 2)
    assert wire.msg(address, "4") == {"msg_id": 4}
    wire.create(name=address, max_messages=3)
    assert wire.msg(address, "5") == {"msg_id": 5}
    assert wire.msg(address)["code"] == "limit_exceeded"
    wire.create(name=address, max_messages=0)
    assert wire.msg(address, "6") == {"msg_id": 6}


def test_message_in_flight_counts_until_it_is_answered(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address, max_messages=1)
    wire.msg(address)
    with Wire(broker.port) as member:
        member.subscribe(address, queue="g")
        message = member.message()
        assert wire.msg(address)["code"] == "limit_exceeded"
        refuse(member, message)
        acknowledge(member, member.message())
        member.ping()
        assert wire.msg(address) == {"msg_id": 1}


def test_limits_of_the_broker_hold_too(start_broker: Callable[..., Broker]) -> None:
    """The smaller one decides."""
    broker = start_broker("--max-mailbox-messages", "3", "--max-mailbox-bytes", "50", "--monitor-port", "0")
    with Wire(broker.port) as wire:
        assert wire.create(name="a", max_messages=5)["options"] == {"max_messages": 5}
        fill_mailbox(wire, "a", "n", "n", "n")
        wire.create(name="b", max_messages=2, max_bytes=100)
        fill_mailbox(wire, "b", "n", "n")
        wire.create(name="c", max_bytes=100)
        wire.msg("c", "x" * 50)
        for address in ("a", "b", "c"):
            assert wire.msg(address, "x")["code"] == "limit_exceeded"
    assert broker.metric('mq9fast_limit_exceeded_total{limit="messages"}') == 3


def test_pipelined_messages_past_the_limit_are_refused(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=100)
    publish_many(wire, address, 5000, b"x" * 20)
    assert wire.list(address, limit=1)["total"] == 100
