"""Questions and answers: messages with Mq9-Reply-To, and what clients answer to them."""

from typing import Any

from tests.support.wire_client import MAILBOX, Wire


def block(**headers: str) -> bytes:
    """A header block; an underscore in a name stands for a hyphen."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def ask(wire: Wire, address: str, body: str, reply_to: str, **headers: str) -> dict[str, Any]:
    """Send a question to `address`, to be answered to the mailbox `reply_to`; returns the reply."""
    return wire.msg(address, body, block(Mq9_Reply_To=reply_to, **headers))


def answer(wire: Wire, address: str, msg_id: int, body: str | bytes, **headers: str) -> dict[str, Any]:
    """Answer a question; returns the broker's reply."""
    header = block(**headers) if headers else b""
    return wire.request(f"{MAILBOX}DELETE.{address}.{msg_id}", body, header).json


def stored(wire: Wire, address: str) -> list[dict[str, Any]]:
    """The messages that LIST shows on its first page."""
    return wire.list(address)["messages"]
