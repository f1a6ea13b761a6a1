"""What two nodes say to each other when one copies the store of the other: a handshake, then files.

Both sides prove that they know the cluster's secret, by answering the other's random bytes with an HMAC. Then
come lines of JSON, each followed by the bytes of a file, and a last line. Nothing is encrypted.
"""

import asyncio
import hashlib
import hmac
import secrets

import msgspec

PROTOCOL = 1
NONCE_BYTES = 32
DIGEST_BYTES = 32
MAX_LINE_BYTES = 64 << 10
CHUNK_BYTES = 256 << 10


class TransferError(Exception):
    """The store could not be copied. The text is a sentence without a full stop."""


class Hello(msgspec.Struct, frozen=True):
    """What the sender begins with: the version of this protocol, and the format of the store."""

    protocol: int
    node: str
    store_format: int = 0


class FileHeader(msgspec.Struct, frozen=True):
    """What precedes a file. The last line has an empty name, and the number of files as `size`."""

    name: str
    size: int


async def prove(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: str, *, caller: bool
) -> None:
    """Prove to the other side that this one knows the secret, and check the same of it. Raises TransferError.

    The side that calls goes first, so that a listener tells strangers nothing that depends on the secret.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    writer.write(nonce)
    theirs = await reader.readexactly(NONCE_BYTES)
    mine = _digest(secret, theirs, nonce, b"caller" if caller else b"listener")
    expected = _digest(secret, nonce, theirs, b"listener" if caller else b"caller")
    if caller:
        writer.write(mine)
    if not hmac.compare_digest(await reader.readexactly(DIGEST_BYTES), expected):
        raise TransferError("the other side does not know the cluster's secret")
    if not caller:
        writer.write(mine)


def _digest(secret: str, challenge: bytes, own: bytes, side: bytes) -> bytes:
    return hmac.new(secret.encode(), b"mq9fast transfer" + challenge + own + side, hashlib.sha256).digest()
