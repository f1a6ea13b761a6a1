"""The records of the log, and what a store says about its position in it.

A record has the batches of changes that one owner wrote between two appends. A record that is larger than the
log takes is cut into parts, each with the header. Each batch has a number, its turn, and a checksum that
covers all batches before it too: two nodes with the same checksum have the same changes.

    part of a record
    0      1        2      4     6       14     22       26      30
    +------+--------+------+-----+-------+------+--------+-------+------+
    | kind | format | part | of  | epoch | turn | before | after | body |
    +------+--------+------+-----+-------+------+--------+-------+------+
    kind: 1 batches, 2 a fence, 3 compressed batches. format: see FORMAT. turn: of the first batch. before,
    after: the checksum before the first batch, and after the last one. The bodies of all parts together: for
    each batch its size(4) and its changes. If that is compressed: its size(4), and a block of LZ4. The body
    of a fence is the name of the node.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cramjam

from mq9fast._core.storage.logged_batch import chain_crc
from mq9fast.cluster.log import LogError

BATCHES = 1
FENCE = 2
COMPRESSED = 3
# Kinds of all versions are below this.
MAX_KINDS = 16
# The format of the records that this version writes. It reads all formats up to it. Raise it with each change
# of the records, whose first two bytes always stay, and of the rows in them: STORE_FORMAT is their format in
# `storage/layout.py`.
FORMAT = 2
STORE_FORMAT = 4
# Smaller records are not compressed: an append costs the log much the same then.
COMPRESSED_FROM_BYTES = 4096
# A compressed record is at most this share of the plain one. Else it is not worth the time of all readers.
COMPRESSED_SHARE = 0.9
# LZ4 makes no more bytes than this of one.
MAX_EXPANSION = 255
_HEADER = struct.Struct(">BBHHQQII")
_SIZE = struct.Struct(">I")
_POSITION = struct.Struct(">QQQIQ?")


class Damaged(LogError):  # noqa: N818
    """A record of the log is not as it was written, or does not follow from the one before."""


class NewerFormat(LogError):  # noqa: N818
    """A record, or a store, is of a later version of mq9fast than this one."""


class Chain(NamedTuple):
    """How far a node has come. `turn`: the number of the last batch. `crc`: the checksum after it."""

    epoch: int = 0
    turn: int = 0
    crc: int = 0

    def after(self, changes: bytes | memoryview) -> "Chain":
        """After a batch with these changes."""
        return Chain(self.epoch, self.turn + 1, chain_crc(self.crc, changes))

    def after_fence(self, fence: bytes | memoryview) -> "Chain":
        """After a fence record."""
        return Chain(header_of(fence).epoch, self.turn, chain_crc(self.crc, fence))


class Position(NamedTuple):
    """The row of a store that says which batch it was written with.

    `sequence`: of the first part of the record that has this batch, or would have it. `confirmed`: the log
    had a record with this number. `at_fence`: the record is a fence.
    """

    sequence: int = 0
    chain: Chain = Chain()
    confirmed: int = 0
    at_fence: bool = False

    def pack(self) -> bytes:
        """The value of the row."""
        return _POSITION.pack(self.sequence, *self.chain, self.confirmed, self.at_fence)

    @staticmethod
    def unpack(value: bytes) -> "Position":
        """The position in the value of the row. Raises Damaged."""
        if len(value) != _POSITION.size:
            raise Damaged(f"the position of the store has {len(value)} bytes")
        sequence, epoch, turn, crc, confirmed, at_fence = _POSITION.unpack(value)
        return Position(sequence, Chain(epoch, turn, crc), confirmed, at_fence)


class Header(NamedTuple):
    """The header of a part: see above."""

    kind: int
    format: int
    part: int
    of: int
    epoch: int
    turn: int
    before: int
    after: int


def header_of(part: bytes | memoryview) -> Header:
    """The header of a part. Raises Damaged, and NewerFormat."""
    if len(part) > 1 and 0 < part[0] < MAX_KINDS and part[1] > FORMAT:
        raise NewerFormat(
            f"a later version of mq9fast writes the log, in format {part[1]}, and this one reads formats "
            f"up to {FORMAT}: upgrade this node"
        )
    if len(part) < _HEADER.size:
        raise Damaged(f"a record has {len(part)} bytes")
    header = Header(*_HEADER.unpack_from(part))
    if not (header.kind in (BATCHES, COMPRESSED) and header.part < header.of) and header.kind != FENCE:
        raise Damaged("a record has an unknown kind, or is not of mq9fast")
    return header


def fence_record(epoch: int, node_name: str) -> bytes:
    """The record with which a node becomes the owner."""
    return _HEADER.pack(FENCE, FORMAT, 0, 1, epoch, 0, 0, 0) + node_name.encode()


def node_of(fence: bytes | memoryview) -> str:
    """The name of the node in its fence record."""
    return bytes(fence[_HEADER.size :]).decode(errors="replace")


def pack_record(before: Chain, batches: list[bytes], after: Chain, max_bytes: int) -> list[bytes]:
    """The parts of a record with these batches, each of at most `max_bytes`."""
    body = b"".join([piece for changes in batches for piece in (_SIZE.pack(len(changes)), changes)])
    kind, body = _compress(body)
    room = max_bytes - _HEADER.size
    of = max(-(-len(body) // room), 1)
    heads = [
        _HEADER.pack(kind, FORMAT, part, of, before.epoch, before.turn + 1, before.crc, after.crc)
        for part in range(of)
    ]
    view = memoryview(body)
    return [b"".join([head, view[i * room : (i + 1) * room]]) for i, head in enumerate(heads)]


def _compress(body: bytes) -> tuple[int, bytes]:
    """The kind of the record with these batches, and its body."""
    if len(body) >= COMPRESSED_FROM_BYTES:
        block = cramjam.lz4.compress_block(body, store_size=False)
        if len(block) < len(body) * COMPRESSED_SHARE:
            return COMPRESSED, b"".join((_SIZE.pack(len(body)), block))
    return BATCHES, body


def body_of(parts: Sequence[bytes | memoryview]) -> memoryview:
    """The body of the record with these parts, as it was before it was compressed. Raises Damaged."""
    bodies = [memoryview(part)[_HEADER.size :] for part in parts]
    body = bodies[0] if len(bodies) == 1 else memoryview(b"".join(bodies))
    return _decompressed(body) if parts[0][0] == COMPRESSED else body


def _decompressed(body: memoryview) -> memoryview:
    if len(body) < _SIZE.size:
        raise Damaged("a compressed record is cut off")
    (size,) = _SIZE.unpack_from(body)
    block = body[_SIZE.size :]
    if size > MAX_EXPANSION * len(block):
        raise Damaged(f"{len(block)} bytes of a record cannot be {size} bytes that were compressed")
    try:
        return memoryview(cramjam.lz4.decompress_block(block, output_len=size))
    except cramjam.DecompressionError as error:
        raise Damaged(f"a record cannot be decompressed: {error}") from error


def batches_in(body: memoryview) -> Iterator[memoryview]:
    """The changes of each batch in a whole body. Raises Damaged."""
    at = 0
    while at < len(body):
        if at + _SIZE.size > len(body):
            raise Damaged("the size of a batch is cut off")
        (size,) = _SIZE.unpack_from(body, at)
        at += _SIZE.size
        if at + size > len(body):
            raise Damaged("a batch is cut off")
        yield body[at : at + size]
        at += size
