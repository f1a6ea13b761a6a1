"""Making mail_addresses; their grammar is in _core/protocol/address.pyx, where every message needs it."""

import secrets

from mq9fast._core.protocol.address import is_address
from mq9fast.errors import CommandError

SECRET_BYTES = 16


def check_address(text: str) -> bytes:
    """Return a mail_address as bytes; CommandError invalid_address if it is none."""
    try:
        address = text.encode("ascii")
    except UnicodeEncodeError:
        raise CommandError("invalid_address") from None
    if not is_address(address):
        raise CommandError("invalid_address")
    return address


def generate_address(prefix: str | None) -> bytes:
    """A new address nobody can guess (128 random bits), behind the tokens of `prefix` if given.

    Raises CommandError invalid_address if the prefix, or the whole, is no address.
    """
    secret = secrets.token_hex(SECRET_BYTES)
    return check_address(secret if prefix is None else f"{prefix}.{secret}")
