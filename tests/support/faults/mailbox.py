"""What tests of a mailbox on a store that fails share. Replies come on the subject REPLIES."""

from typing import Any

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

REPLIES = "replies"


def publish(wire: Wire, subject: str, text: str, header: bytes = b"") -> None:
    """Send a command, which will be answered on REPLIES, and wait until the broker has read it."""
    wire.pub(MAILBOX + subject, text, REPLIES, header)
    wire.ping()


def begin_sync(broker: BrokerOnFaultyStore, wire: Wire, subject: str, text: str, header: bytes = b"") -> None:
    """Send a command whose commit group is in an fsync until `may_sync` is set."""
    broker.faults.may_sync.clear()
    publish(wire, subject, text, header)
    assert wire.silent(0.1)


def codes(wire: Wire, count: int) -> list[Any]:
    """The error codes of the next replies, or the replies that are none."""
    return [message.json.get("code", message.json) for message in wire.messages(count)]


def payloads(wire: Wire, address: str, **fields: Any) -> list[Any]:
    return [message["payload"] for message in wire.list(address, **fields)["messages"]]


def wait_until_writable(wire: Wire, address: str) -> None:
    """Wait until the broker takes changes of an existing mailbox again."""
    wait_until(lambda: wire.create(name=address).get("is_new") is False)
