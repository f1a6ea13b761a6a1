"""Cursors of the bulletin board: the address of the last mailbox that a page has passed, as text.

`mailbox/board.py` writes and reads them. An address that the client may not see is encrypted with a key that
each start of the broker chooses anew.
"""

import base64
import binascii
import os

from mq9fast.errors import CommandError

KEY_BYTES = 32
PLAIN, SEALED = b"p", b"s"
# Sealed addresses are filled up to the longest address, so that the cursor does not tell their length.
ADDRESS_BYTES = 128


class BoardCursors:
    """The cursors of one broker."""

    def __init__(self) -> None:
        self._key = os.urandom(KEY_BYTES)

    def write(self, address: bytes, *, is_shown: bool) -> bytes:
        """The cursor of the page after an address. `is_shown`: the client knows the address."""
        if is_shown:
            return _encode(PLAIN + address)
        from nacl.secret import SecretBox

        sealed = SecretBox(self._key).encrypt(address.ljust(ADDRESS_BYTES))
        return _encode(SEALED + sealed)

    def read(self, cursor: str) -> bytes:
        """The address of a cursor. Raises CommandError bad_request if LIST did not issue it, or sealed it in
        an earlier start of the broker."""
        raw = _decode(cursor)
        if raw[:1] == PLAIN:
            return raw[1:]
        if raw[:1] == SEALED:
            from nacl.exceptions import CryptoError
            from nacl.secret import SecretBox

            try:
                return SecretBox(self._key).decrypt(raw[1:]).rstrip()
            except (CryptoError, ValueError):
                pass
        raise CommandError(
            "bad_request",
            "The cursor was not issued by LIST, or the broker was restarted: begin again without it.",
        )


def _encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decode(cursor: str) -> bytes:
    """The bytes of a cursor; b"" if it is none."""
    try:
        return base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return b""
