"""What the tests of queue groups do again and again."""

from collections.abc import Callable

from tests.harness import MAILBOX, Message, Wire

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
    messages, wire.connect_pending = wire.connect_pending, []
    return messages


def answer(wire: Wire, message: Message, body: str = "") -> None:
    wire.pub(message.reply, body)
