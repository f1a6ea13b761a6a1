"""RocksDB's log format, written by hand: files of the log, and the write batches in them."""

import struct

from mq9fast._core.testing.storage import crc32c

BLOCK = 32768


def log_of(payloads: list[bytes]) -> bytes:
    """A file in RocksDB's log format with these payloads."""
    file = bytearray()
    for payload in payloads:
        rest, first = payload, True
        while first or rest:
            space = BLOCK - len(file) % BLOCK
            if space < 7:
                file += bytes(space)
                continue
            part, rest = rest[: space - 7], rest[space - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not rest]
            crc = crc32c(bytes([kind]) + part, True)
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            file += struct.pack("<IHB", masked, len(part), kind) + part
            first = False
    return bytes(file)


def write_batch(*changes: tuple[int, bytes, bytes]) -> bytes:
    """A write batch of RocksDB: its head, and for each change a kind, a key and a value."""

    def text(data: bytes) -> bytes:
        size, packed = len(data), b""
        while size >= 128:
            packed += bytes([size % 128 + 128])
            size //= 128
        return packed + bytes([size]) + data

    pieces = [bytes([kind]) + text(key) + (text(value) if kind else b"") for kind, key, value in changes]
    return struct.pack("<QI", 1, len(changes)) + b"".join(pieces)
