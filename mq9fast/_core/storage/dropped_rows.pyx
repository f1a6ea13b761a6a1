"""Rows of messages whose values are lost: finding them, and correcting the counts of their mailboxes.

`storage/value_recovery.py` uses both after a power cut. Nothing here writes to the store.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport MailboxRecord, pack_mailbox, unpack_mailbox
from mq9fast._core.storage.record_batch cimport popcount, unpack_deletion_bitmap
from mq9fast._core.storage.row_format cimport (
    BATCH_KEY_BYTES, DELETION_BITMAP_VERSION, MESSAGE_OVERHEAD_BYTES, MessageKeyLayout, read_u64
)
from mq9fast._core.storage.value_format cimport ValuePointer, is_value_pointer, unpack_value_pointer


def dropped_rows(rows, is_readable):
    """Iterate over the rows with a value pointer that `is_readable(value)` is false for.

    `rows`: the stored (key, value) of messages. Gives (key, uid, rank, messages, size, dead): how many of its
    messages are not deleted, the size of their headers and payloads, and what deleted ones still take.
    """
    cdef bytes key, value
    cdef uint64_t deleted = 0
    cdef uint32_t dead_bytes = 0
    cdef ValuePointer pointer
    for key, value in rows:
        if PyBytes_AS_STRING(value)[0] == DELETION_BITMAP_VERSION:
            unpack_deletion_bitmap(value, &deleted, &dead_bytes)
            continue
        if PyBytes_GET_SIZE(key) != BATCH_KEY_BYTES:
            deleted = dead_bytes = 0
        if is_value_pointer(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)) and not is_readable(value):
            unpack_value_pointer(PyBytes_AS_STRING(value), &pointer)
            left = pointer.count - popcount(deleted)
            dead = dead_bytes - (pointer.kept - left) * MESSAGE_OVERHEAD_BYTES
            at = <const MessageKeyLayout*>PyBytes_AS_STRING(key)
            yield key, read_u64(at.uid), at.rank, left, max(pointer.content - dead, 0), dead_bytes
        deleted = dead_bytes = 0


def without_messages(
    bytes record not None, int rank, uint64_t messages, uint64_t size, uint64_t dead
) -> bytes:
    """The mailbox record without so many messages of a rank. Raises CorruptRecord, and IndexError."""
    cdef MailboxRecord mailbox
    if not 0 <= rank < RANKS:
        raise IndexError(rank)
    unpack_mailbox(record, &mailbox)
    mailbox.count[rank] -= min(messages, mailbox.count[rank])
    mailbox.size_bytes -= min(size, mailbox.size_bytes)
    mailbox.dead_bytes -= min(dead, mailbox.dead_bytes)
    return pack_mailbox(&mailbox)


def uid_in(bytes record not None) -> int:
    """The uid in a mailbox record. Raises CorruptRecord."""
    cdef MailboxRecord mailbox
    unpack_mailbox(record, &mailbox)
    return mailbox.uid
