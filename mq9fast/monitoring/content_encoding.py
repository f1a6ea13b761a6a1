"""Compresses answers to `$SYS.REQ.` requests as the Accept-Encoding header of a request asks.

`system_requests.py` makes an `EncodedBody` for each answer.
"""

import zlib

ACCEPT_ENCODING = b"accept-encoding"
GZIP = "gzip"
IDENTITY = "identity"
# zlib's number for the gzip format with its largest window.
GZIP_WINDOW = 31
# Answers are JSON, which shrinks to about a fifth at the lowest level already.
LEVEL = 1


def accepted_encoding(header: bytes) -> str:
    """The encoding of the answer to a request with this header block; "" if it asks for none.

    nats-server also has snappy, which is not in Python's library: a client that accepts only
    snappy gets identity.
    """
    for line in header.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == ACCEPT_ENCODING and value.strip():
            return GZIP if GZIP.encode() in value.lower() else IDENTITY
    return ""


class EncodedBody:
    """A body that is encoded piece by piece. `encoding`: what `accepted_encoding` returned."""

    def __init__(self, encoding: str) -> None:
        self._parts: list[bytes] = []
        self._compressor = zlib.compressobj(LEVEL, wbits=GZIP_WINDOW) if encoding == GZIP else None
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
