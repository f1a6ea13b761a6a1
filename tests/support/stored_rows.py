"""Rows of the store, packed by hand in the format that mq9fast/_core/storage/row_format.pxd draws, and
segments of the value log, which value_format.pxd draws.

`rank` is the priority: 0 is critical, 1 urgent, 2 normal.
"""

import struct

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.testing.storage import crc32c

# (msg_id, created_ms, header, payload)
MessageFields = tuple[int, int, bytes, bytes]
RECORD_NUMBERS = (
    *("uid", "next_id", "renewed_ms", "ttl_seconds"),
    *("head0", "head1", "head2", "count0", "count1", "count2", "size_bytes"),
)


def message_key(uid: int, rank: int, msg_id: int) -> bytes:
    return struct.pack(">cQBQ", b"m", uid, rank, msg_id)


def batch_key(uid: int, rank: int, last_id: int) -> bytes:
    return message_key(uid, rank, last_id) + b"\0"


def message_value(created_ms: int, header: bytes, payload: bytes, attributes: bytes = b"") -> bytes:
    return struct.pack(">BxHIQ", 1, len(attributes), len(header), created_ms) + attributes + header + payload


def record_batch(messages: list[MessageFields]) -> bytes:
    entries, bodies = b"", b""
    for msg_id, *fields in messages:
        bodies += message_value(*fields)
        entries += struct.pack(">QI", msg_id, len(bodies))
    return struct.pack(">BB6x", 2, len(messages)) + entries + bodies


def thinned_batch(count: int, messages: dict[int, MessageFields]) -> bytes:
    """A thinned batch, written with `count` messages, of which those in `messages` (by index) are left."""
    entries, bodies, kept = b"", b"", 0
    for index, (msg_id, *fields) in messages.items():
        kept |= 1 << index
        bodies += message_value(*fields)
        entries += struct.pack(">QI", msg_id, len(bodies))
    return struct.pack(">BB6xQ", 4, count, kept) + entries + bodies


def deletion_bitmap(deleted_bits: int, dead_bytes: int = 0) -> bytes:
    return struct.pack(">B3xIQ", 3, dead_bytes, deleted_bits)


def segment_head(number: int) -> bytes:
    head = struct.pack(">4sIQ", b"mq9v", 1, number)
    return head + struct.pack(">I12x", crc32c(head))


def value_record(key: bytes, value: bytes) -> bytes:
    head = struct.pack(">HxxII", len(key), len(value), crc32c(value)) + key
    return struct.pack(">I", crc32c(head)) + head + value


def value_pointer(
    value: bytes, segment: int, offset: int, content: int = 0, *, count: int = 1, kept: int | None = None
) -> bytes:
    """The pointer to `value`, which begins at the byte `offset` of a segment.

    `content`: the size of its headers, payloads and attributes. The pointer to a single message has it
    without attributes, and the flags.
    """
    counts = (count, count if kept is None else kept)
    flags = known = 0
    if count == 1 and value[0] == 1:
        flags, known = value[1], 1
        content = max(content - int.from_bytes(value[2:4], "big"), 0)
    where = (crc32c(value), segment, offset, len(value), content)
    return struct.pack(">BBBBIQIIIB3x", 5, *counts, flags, *where, known)


def attribute(tag: int, value: bytes | int) -> bytes:
    """An attribute of a mailbox record."""
    packed = value.to_bytes(8, "big") if isinstance(value, int) else value
    return struct.pack(">BH", tag, len(packed)) + packed


def mailbox_record(description: bytes = b"", attributes: bytes = b"", **fields: int) -> bytes:
    """The record of a mailbox: `public` and the numbers of RECORD_NUMBERS, each 0 if it is left out.

    `attributes`: packed, besides `created_ms`.
    """
    public, created_ms = fields.pop("public", 0), fields.pop("created_ms", 0)
    numbers = [fields.pop(name, 0) for name in RECORD_NUMBERS]
    assert not fields, f"a mailbox record has no {', '.join(fields)}"
    if created_ms:
        attributes = attribute(1, created_ms) + attributes
    fixed = struct.pack(">BBHI12Q", 1, public, len(attributes), len(description), *numbers, 0)
    return fixed + description + attributes


def load_mailbox(mailbox_index: MailboxIndex, address: bytes, record: bytes) -> Mailbox:
    """Load one stored mailbox into the index."""
    mailbox_index.load([(b"b" + address, record)])
    mailbox = mailbox_index.get(address)
    assert mailbox is not None
    return mailbox
