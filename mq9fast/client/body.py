"""Bodies of messages: what a program gives and gets, as bytes."""

import re
from typing import Any

import msgspec

from mq9fast.client.errors import InvalidBody

_ORDER = re.compile(rb"(-NAK|\+WPI|\+TERM|\+ACK|\+NXT)(\s|$)")


def encode(body: object) -> bytes:
    """bytes and text as they are, nothing for None, and JSON of all else that msgspec can encode.

    Raises InvalidBody.
    """
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if isinstance(body, str):
        return body.encode()
    if body is None:
        return b""
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError) as error:
        raise InvalidBody(f"The body cannot be encoded as JSON: {error}.") from None


def decode(data: bytes, of: Any) -> Any:
    """The body as `of`: bytes, str (text), or a type that msgspec reads from JSON. Raises InvalidBody."""
    if of is bytes:
        return data
    try:
        return data.decode() if of is str else msgspec.json.decode(data, type=of)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBody(f"The body is not what is expected: {error}.") from None


def check_answer(data: bytes) -> bytes:
    """The answer, if it is not empty and would not be read as an order. Raises InvalidBody."""
    if not data or _ORDER.match(data):
        raise InvalidBody("An answer has a body, and it does not begin with -NAK, +WPI, +TERM, +ACK or +NXT.")
    return data
