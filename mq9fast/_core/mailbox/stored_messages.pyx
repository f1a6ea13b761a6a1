"""Reading the messages of a mailbox from the store, for consumers, LIST and monitoring."""

from libc.stdint cimport uint64_t

from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.record_batch cimport RecordBatchReader


cdef RecordBatchReader durable_messages(object store, Mailbox mailbox, int rank, uint64_t start):
    """A reader of the durable messages of a rank with ids from `start` on; None if there are none."""
    start = max(start, mailbox.head[rank])
    if mailbox.count[rank] == 0 or start >= mailbox.durable_id:
        return None
    first = message_key(mailbox.uid, rank, start)
    return RecordBatchReader(store.scan(first, message_key(mailbox.uid, rank, mailbox.durable_id)), start)


def stored_messages(store, Mailbox mailbox not None, int rank, uint64_t start):
    """Iterate over the durable messages of a rank with ids from `start` on.

    Gives (msg_id, created_ms, header, payload). IndexError if `rank` is not 0 to 2. Raises what the store
    raises, and CorruptRecord.
    """
    if not 0 <= rank < RANKS:
        raise IndexError(rank)
    return durable_messages(store, mailbox, rank, start) or ()
