"""Compresses answers to `$SYS.REQ.` requests as the Accept-Encoding header of a request asks.

`system_requests.py` makes an `EncodedBody` for each answer.
"""

import zlib
from importlib.util import find_spec
from typing import Protocol

ACCEPT_ENCODING = b"accept-encoding"
GZIP = "gzip"
SNAPPY = "snappy"
IDENTITY = "identity"
# zlib's number for the gzip format with its largest window.
GZIP_WINDOW = 31
# Answers are JSON, which shrinks to about a fifth at the lowest level already.
LEVEL = 1
# Whether the extra `snappy` is installed.
HAS_SNAPPY = find_spec("cramjam") is not None


class Compressor(Protocol):
    """A compressor of zlib, or one with the same methods."""

    def compress(self, data: bytes, /) -> bytes:
        """Some of what the data so far is compressed to."""

    def flush(self) -> bytes:
        """The rest."""


class SnappyCompressor:
    """Snappy's format of frames, as nats-server sends it."""

    def __init__(self) -> None:
        from cramjam import snappy

        self._frames = snappy.Compressor()

    def compress(self, data: bytes) -> bytes:
        """A frame with the data."""
        self._frames.compress(data)
        return bytes(self._frames.flush())

    def flush(self) -> bytes:
        """The rest."""
        return bytes(self._frames.finish())


def accepted_encoding(header: bytes) -> str:
    """The encoding of the answer to a request with this header block; "" if it asks for none.

    As on nats-server, snappy comes before gzip, and a client that accepts neither gets identity.
    """
    for line in header.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == ACCEPT_ENCODING and value.strip():
            accepted = value.decode("latin-1").lower()
            if HAS_SNAPPY and (SNAPPY in accepted or "s2" in accepted):
                return SNAPPY
            return GZIP if GZIP in accepted else IDENTITY
    return ""


def _compressor(encoding: str) -> Compressor | None:
    if encoding == SNAPPY:
        return SnappyCompressor()
    return zlib.compressobj(LEVEL, wbits=GZIP_WINDOW) if encoding == GZIP else None


class EncodedBody:
    """A body that is encoded piece by piece. `encoding`: what `accepted_encoding` returned."""

    def __init__(self, encoding: str) -> None:
        self._parts: list[bytes] = []
        self._compressor = _compressor(encoding)
        # The header block that belongs to the body.
        self.header = f"NATS/1.0\r\nContent-Encoding: {encoding}\r\n\r\n".encode() if encoding else b""
        self.size = 0

    def add(self, data: bytes) -> None:
        """Add a piece. `size` is what the encoded pieces have so far, in bytes."""
        part = data if self._compressor is None else self._compressor.compress(data)
        self._parts.append(part)
        self.size += len(part)

    def end(self) -> bytes:
        """The encoded body. Nothing can be added after it."""
        if self._compressor is not None:
            self._parts.append(self._compressor.flush())
        return b"".join(self._parts)
