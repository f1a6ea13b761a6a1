"""The records of the log, and what a store says about its position in it.

A record has the batches of changes that one owner wrote between two appends. A record that is larger than the
log takes is cut into parts, each with the header. Each batch has a number, its turn, and a checksum that
covers all batches before it too: two nodes with the same checksum have the same changes.

    part of a record
    0      1        2      4     6       14     22       26      30
    +------+--------+------+-----+-------+------+--------+-------+------+
    | kind | format | part | of  | epoch | turn | before | after | body |
    +------+--------+------+-----+-------+------+--------+-------+------+
    kind: 1 batches, 2 a fence. format: see FORMAT. turn: of the first batch. before, after: the checksum
    before the first batch, and after the last one. The body of all parts: for each batch its size(4) and its
    changes. The body of a fence is the name of the node.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from mq9fast._core.storage.logged_batch import chain_crc
from mq9fast.cluster.log import LogError

BATCHES = 1
FENCE = 2
# Kinds of all versions are below this.
MAX_KINDS = 16
# The format of the records that this version writes. It reads all formats up to it. Raise it with each change
# of the records, whose first two bytes always stay, and of the rows in them: STORE_FORMAT is their format in
# `storage/layout.py`.
FORMAT = 1
STORE_FORMAT = 4
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
    if not (header.kind == BATCHES and header.part < header.of) and header.kind != FENCE:
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
    pieces = [piece for changes in batches for piece in (_SIZE.pack(len(changes)), changes)]
    size = sum(map(len, pieces))
    room = max_bytes - _HEADER.size
    of = max(-(-size // room), 1)
    heads = [
        _HEADER.pack(BATCHES, FORMAT, part, of, before.epoch, before.turn + 1, before.crc, after.crc)
        for part in range(of)
    ]
    if of == 1:
        return [b"".join([heads[0], *pieces])]
    body = memoryview(b"".join(pieces))
    return [b"".join([head, body[i * room : (i + 1) * room]]) for i, head in enumerate(heads)]


def body_of(part: bytes | memoryview) -> memoryview:
    """The body of a part."""
    return memoryview(part)[_HEADER.size :]


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
