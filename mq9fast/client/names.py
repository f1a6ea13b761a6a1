"""Checks what becomes part of a line of the NATS protocol: addresses, names of groups and headers."""

import re

from mq9fast.client.errors import BadRequest, InvalidAddress

_ADDRESS = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_VISIBLE = re.compile(r"[!-~]+")
_HEADER_NAME = re.compile(r"[!-9;-~]+")


def check_address(address: str) -> str:
    """The address. Raises InvalidAddress, where the broker or the protocol could not read it."""
    if not _ADDRESS.fullmatch(address):
        raise InvalidAddress(f"{address!r} is not the address of a mailbox.")
    return address


def check_group(name: str) -> str:
    """The name of a queue group. Raises BadRequest."""
    if not _VISIBLE.fullmatch(name):
        raise BadRequest(f"{name!r} is not the name of a group: it has no blanks, and is not empty.")
    return name


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """The headers. Raises BadRequest."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise BadRequest(f"{name!r} is not the name of a header.")
        if "\r" in value or "\n" in value or "\0" in value:
            raise BadRequest(f"The header {name} has a line break.")
    return headers
