"""Replies to a delivered message: delete it, refuse it (-NAK), or report work in progress (+WPI)."""

import pytest

from tests.support.mailbox import Connect, fill_mailbox, reply, texts
from tests.support.waiting import wait_until
from tests.support.wire_client import Message, Wire


def again(message: Message, deliveries: int) -> Message:
    """A message as it is delivered again."""
    return message._replace(header=f"NATS/1.0\r\nMq9-Deliveries: {deliveries}\r\n\r\n".encode())


def test_any_other_reply_deletes_the_message(wire: Wire, address: str, member: Connect) -> None:
    bodies = ["", "+ACK", "+TERM", "+NXT", "ok", "-nak", "-NA", " -NAK", "+WP", "x-NAK", "-NAKed", '{"a":1}']
    fill_mailbox(wire, address, *(f"n{n}" for n in range(len(bodies))))
    one = member()
    for message, body in zip(one.messages(len(bodies)), bodies, strict=True):
        reply(one, message, body)
    wait_until(lambda: wire.list(address)["total"] == 0)
    one.send("UNSUB 1\r\n")
    other = member()
    assert other.silent(0.05)


@pytest.mark.parametrize("body", ["-NAK", "-NAK {}"])
def test_nak_redelivers_the_message_at_once(wire: Wire, address: str, member: Connect, body: str) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    one = member()
    first, second = one.messages(2)
    reply(one, first, body)
    assert one.message() == again(first, 2)
    assert one.silent(0.02)
    reply(one, second)
    reply(one, first)
    wait_until(lambda: wire.list(address)["total"] == 0)


def test_nak_and_wpi_get_deleted_false(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0")
    for body in (b"-NAK", b"+WPI", b"+WPI and more"):
        assert wire.delete(address, 0, body) == {"deleted": False}
    assert wire.list(address)["total"] == 1


def test_nak_redelivers_to_the_next_member(wire: Wire, address: str, member: Connect) -> None:
    one, other = member(), member()
    fill_mailbox(wire, address, "n0")
    message = one.message()
    reply(one, message, "-NAK")
    assert other.message() == again(message, 2)
    assert one.silent(0.03)
    reply(other, message, "-NAK")
    assert one.message() == again(message, 3)
    assert other.silent(0.03)


def test_refused_messages_come_back_by_priority(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "c0", "u0", "n0", "n1")
    one = member()
    messages = one.messages(4)
    one.send("".join(f"PUB {message.reply} 4\r\n-NAK\r\n" for message in reversed(messages)))
    assert texts(one.messages(4)) == ["c0", "u0", "n0", "n1"]


def test_nak_from_another_client_does_nothing(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    other = member()
    reply(other, message, "-NAK")
    reply(wire, message, "-NAK")
    assert one.silent(0.03)
    assert other.silent(0.03)


def test_nak_from_a_plain_subscriber_does_nothing(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    wire.subscribe(address)
    assert wire.message().payload == b"n0"
    reply(wire, message, "-NAK")
    assert wire.silent(0.03)
    assert one.silent(0.03)


def test_wpi_keeps_the_message_in_flight(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    other = member()
    reply(one, message, "+WPI")
    assert one.silent(0.03)
    assert other.silent(0.03)
    assert wire.list(address)["total"] == 1
    one.close()
    assert other.message() == again(message, 2)
