"""Rows of the store, packed by hand in the format that mq9fast/storage/layout.py draws."""

import struct

from mq9fast._core.mailbox.mailbox import Mailbox, MailboxIndex

# (msg_id, created_ms, header, payload)
StoredMessage = tuple[int, int, bytes, bytes]


def message_key(uid: int, rank: int, msg_id: int) -> bytes:
    return struct.pack(">cQBQ", b"m", uid, rank, msg_id)


def batch_key(uid: int, rank: int, last_id: int) -> bytes:
    return message_key(uid, rank, last_id) + b"\0"


def message(created_ms: int, header: bytes, payload: bytes, attributes: bytes = b"") -> bytes:
    return struct.pack(">BxHIQ", 1, len(attributes), len(header), created_ms) + attributes + header + payload


def record_batch(messages: list[StoredMessage]) -> bytes:
    entries, bodies = b"", b""
    for msg_id, *fields in messages:
        bodies += message(*fields)
        entries += struct.pack(">QI", msg_id, len(bodies))
    return struct.pack(">BB6x", 2, len(messages)) + entries + bodies


def thinned_batch(count: int, messages: dict[int, StoredMessage]) -> bytes:
    """A thinned batch, written with `count` messages, of which those in `messages` (by index) are left."""
    entries, bodies, kept = b"", b"", 0
    for index, (msg_id, *fields) in messages.items():
        kept |= 1 << index
        bodies += message(*fields)
        entries += struct.pack(">QI", msg_id, len(bodies))
    return struct.pack(">BB6xQ", 4, count, kept) + entries + bodies


def deletion_bitmap(deleted: int, dead_bytes: int = 0) -> bytes:
    return struct.pack(">B3xIQ", 3, dead_bytes, deleted)


def mailbox_record(description: bytes = b"", **fields: int) -> bytes:
    names = ("uid", "next_id", "renewed_ms", "ttl_seconds")
    numbers = [fields.get(name, 0) for name in names]
    heads = [fields.get(f"head{rank}", 0) for rank in range(3)]
    counts = [fields.get(f"count{rank}", 0) for rank in range(3)]
    rest = [*numbers, *heads, *counts, fields.get("size_bytes", 0), 0]
    return struct.pack(">BBxxI12Q", 1, fields.get("public", 0), len(description), *rest) + description


def load_mailbox(mailbox_index: MailboxIndex, address: bytes, record: bytes) -> Mailbox:
    """Load one stored mailbox into the index."""
    mailbox_index.load([(b"b" + address, record)])
    mailbox = mailbox_index.get(address)
    assert mailbox is not None
    return mailbox
