"""What tests of mailboxes share: filling one, reading all of it, replying to deliveries."""

import json
import random
from collections.abc import Callable
from typing import Any

from tests.support.wire_client import MAILBOX, Message, Wire, read_messages

MSG = MAILBOX + "MSG."
Connect = Callable[..., Wire]
# The longest description of a mailbox.
DESCRIPTION_CHARACTERS = 4096
SUFFIX = {"n": "", "u": ".urgent", "c": ".critical"}


def fill_mailbox(wire: Wire, address: str, *sends: str) -> None:
    """Create the mailbox and send each text: those that begin with n as normal, u urgent, c critical."""
    wire.create(name=address)
    for send in sends:
        assert "msg_id" in wire.msg(address + SUFFIX[send[0]], send)


def texts(messages: list[Message]) -> list[str]:
    return [message.payload.decode() for message in messages]


def send_each(port: int, address: str, count: int, payload: str) -> None:
    """Create the mailbox and send messages, each after the reply to the one before."""
    with Wire(port) as wire:
        wire.create(name=address)
        for _ in range(count):
            assert "msg_id" in wire.msg(address, payload)


def take_received(wire: Wire) -> list[Message]:
    """The messages that the client has received so far."""
    wire.ping()
    wire.ping()
    messages, wire.received = wire.received, []
    return messages


def acknowledge(member: Wire, message: Message) -> None:
    """Delete a delivered message, as a member of a queue group does when it is done with it."""
    reply(member, message)


def refuse(member: Wire, message: Message) -> None:
    """Give a delivered message back to its queue group."""
    reply(member, message, "-NAK")


def reply(wire: Wire, message: Message, body: str = "") -> None:
    """Publish to the reply subject of a delivered message."""
    wire.pub(message.reply, body)


def publish_many(wire: Wire, address: str, count: int, payload: bytes, at_once: int = 1000) -> None:
    """Send `payload` `count` times without a reply subject. Returns when the broker has read all of it; a
    thread may still be writing it."""
    frame = b"PUB %s%s %d\r\n%s\r\n" % (b"$mq9.AI.MAILBOX.MSG.", address.encode(), len(payload), payload)
    for start in range(0, count, at_once):
        wire.send(frame * min(at_once, count - start))
    wire.ping()


def read_stored(port: int, address: str) -> dict[int, bytes]:
    """The payloads that a new subscriber receives, by id: as many as LIST counts, none of them twice."""
    stored: dict[int, bytes] = {}
    with Wire(port) as wire:
        total = wire.list(address, limit=1)["total"]
        wire.subscribe(address)
        messages = read_messages(wire)
        for _ in range(total):
            message = next(messages)
            assert message.msg_id not in stored
            stored[message.msg_id] = message.payload
    return stored


def create_line(**fields: Any) -> str:
    """The PUB of a CREATE request without a reply subject."""
    body = json.dumps(fields)
    return f"PUB {MAILBOX}CREATE {len(body)}\r\n{body}\r\n"


def fill_memtable(wire: Wire, size: int) -> None:
    """Store `size` bytes in RocksDB itself, without the value log: mailboxes with long descriptions."""
    chance = random.Random(size)
    for start in range(0, size // DESCRIPTION_CHARACTERS, 500):
        lines = (
            create_line(name=f"filling.{start + n}", desc=chance.randbytes(DESCRIPTION_CHARACTERS // 2).hex())
            for n in range(500)
        )
        wire.send("".join(lines))
    wire.ping()


def exists(wire: Wire, address: str) -> bool:
    return "code" not in wire.list(address, limit=1)


def list_all(wire: Wire, address: str) -> dict[int, str]:
    """The payloads of all pages of LIST, by id. None may occur twice."""
    found: dict[int, str] = {}
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = wire.list(address, **cursor)
        for message in page["messages"]:
            assert message["msg_id"] not in found
            found[message["msg_id"]] = message["payload"]
        cursor = {"cursor": page["next"]} if "next" in page else None
    return found
