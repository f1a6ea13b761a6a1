"""Checks and generates addresses of mailboxes (`mail_address`), for the commands in this package.

The grammar is in `_core/protocol/address.pyx`, because MSG and DELETE need it as well.
"""

import os

from mq9fast._core.protocol.address import is_address
from mq9fast.errors import CommandError

SECRET_BYTES = 16


def check_address(text: str) -> bytes:
    """Return an address as bytes. Raises CommandError invalid_address."""
    try:
        address = text.encode("ascii")
    except UnicodeEncodeError:
        raise CommandError("invalid_address") from None
    if not is_address(address):
        raise CommandError("invalid_address")
    return address


def generate_address(prefix: str | None) -> bytes:
    """Return a new address that nobody can guess: `prefix` and a dot, if given, then 128 random bits in hex.

    Raises CommandError invalid_address if the prefix is not valid, or the whole is too long.
    """
    secret = os.urandom(SECRET_BYTES).hex()
    return check_address(secret if prefix is None else f"{prefix}.{secret}")
