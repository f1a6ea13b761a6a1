"""What the tests of queue groups do again and again."""

from collections.abc import Callable

from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import MAILBOX, Message, Wire, frames

MSG = MAILBOX + "MSG."
Connect = Callable[..., Wire]
SUFFIX = {"n": "", "u": ".urgent", "c": ".critical"}


def fill(wire: Wire, address: str, *sends: str) -> None:
    """Create the mailbox and send: 'n0' is normal, 'u0' urgent, 'c0' critical."""
    wire.create(name=address)
    for send in sends:
        assert "msg_id" in wire.msg(address + SUFFIX[send[0]], send)


def texts(messages: list[Message]) -> list[str]:
    return [message.payload.decode() for message in messages]


def waiting(wire: Wire) -> list[Message]:
    """What has come so far."""
    wire.ping()
    wire.ping()
    messages, wire.received = wire.received, []
    return messages


def answer(wire: Wire, message: Message, body: str = "") -> None:
    wire.pub(message.reply, body)


def publish_many(wire: Wire, address: str, count: int, payload: bytes, at_once: int = 1000) -> None:
    """Send `payload` so many times without asking for replies, and wait until the broker read it all."""
    frame = b"PUB %s%s %d\r\n%s\r\n" % (b"$mq9.AI.MAILBOX.MSG.", address.encode(), len(payload), payload)
    for start in range(0, count, at_once):
        wire.send(frame * min(at_once, count - start))
    wire.ping(WAIT_SECONDS)


def read_stored(port: int, address: str) -> dict[int, bytes]:
    """What a new subscriber is given of a mailbox, by id; as many as LIST counts, none of them twice."""
    stored: dict[int, bytes] = {}
    with Wire(port) as wire:
        total = wire.list(address, limit=1)["total"]
        wire.read_along(address)
        messages = frames(wire)
        for _ in range(total):
            message = next(messages)
            assert message.msg_id not in stored
            stored[message.msg_id] = message.payload
    return stored
