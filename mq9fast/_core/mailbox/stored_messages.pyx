"""Reading the messages of a mailbox from the store, for consumers, LIST and monitoring."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport to_bytes
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport StoredMessage, message_key, message_number
from mq9fast._core.storage.record_batch cimport RecordBatch, RecordBatchReader, RecordLocation, row_key
from mq9fast._core.storage.row_format cimport (
    BATCH_ID_SPAN, DELAYED_RANK, DELETION_BITMAP_VERSION, TAG_DUE_MS
)


cdef RecordBatchReader durable_messages(object store, Mailbox mailbox, int rank, uint64_t start):
    """A reader of the durable messages of a rank with ids from `start` on; None if there are none."""
    return messages_between(store, mailbox, rank, start, mailbox.durable_id)


cdef RecordBatchReader messages_between(
    object store, Mailbox mailbox, int rank, uint64_t start, uint64_t end_key
):
    """A reader of the durable messages of a rank with ids from `start` on, in rows up to but not `end_key`;
    None if there are none."""
    start = max(start, mailbox.head[rank])
    end_key = min(end_key, mailbox.durable_id)
    if mailbox.count[rank] == 0 or start >= end_key:
        return None
    first = message_key(mailbox.uid, rank, start)
    return RecordBatchReader(store.scan(first, message_key(mailbox.uid, rank, end_key)), start, mailbox.times)


cdef bint read_message_at(
    object store, Mailbox mailbox, int rank, const RecordLocation* location, RecordBatch batch,
    StoredMessage* message
) except -1:
    """Read the message at a location. False if its row does not exist. `batch` is an empty one, into which
    the message points: DANGER. Raises what the store raises, and CorruptRecord."""
    cdef bytes value = store.get(row_key(mailbox.uid, rank, location))
    if value is None:
        return False
    batch.open(location.row_id, location.count == 1, value)
    batch.read(location.index, message)
    return True


cdef bytes header_at(object store, Mailbox mailbox, int rank, const RecordLocation* location):
    """The header block of the message at this location; None if its row does not exist. Raises what the store
    raises, and CorruptRecord."""
    cdef RecordBatch batch = RecordBatch()
    cdef StoredMessage message
    if not read_message_at(store, mailbox, rank, location, batch, &message):
        return None
    return to_bytes(message.header)


cdef int check_rank(int rank) except -1:
    if not 0 <= rank < RANKS:
        raise IndexError(rank)
    return 0


def stored_messages(store, Mailbox mailbox not None, int rank, uint64_t start, end=None):
    """Iterate over the durable messages of a rank with ids from `start` up to but not `end`.

    `end` is a former `durable_id` of the mailbox, None for the present one. Gives (msg_id, created_ms,
    header, payload, name). IndexError if `rank` is not 0 to 2. Raises what the store raises, and
    CorruptRecord.
    """
    check_rank(rank)
    # Commit groups begin at a durable_id, so no record batch has ids on both sides of it.
    return messages_between(store, mailbox, rank, start, mailbox.durable_id if end is None else end) or ()


def find_message(store, Mailbox mailbox not None, int rank, uint64_t msg_id):
    """The durable message of a rank with this id, as `stored_messages` gives it, or None. Raises the same."""
    check_rank(rank)
    # The row of a record batch has the id of its last message.
    reader = messages_between(store, mailbox, rank, msg_id, msg_id + BATCH_ID_SPAN)
    found = None if reader is None else next(reader, None)
    return found if found is not None and found[0] == msg_id else None


def messages_before(store, Mailbox mailbox not None, int rank, uint64_t start, uint64_t end):
    """Iterate over the durable messages of a rank with ids from `start` up to but not `end`, newest first.

    Otherwise as `stored_messages`; `end` is any id.
    """
    cdef bytes key, value
    cdef uint64_t end_key
    check_rank(rank)
    start = max(start, mailbox.head[rank])
    end_key = min(end + BATCH_ID_SPAN - 1, mailbox.durable_id)
    if mailbox.count[rank] == 0 or start >= min(end, mailbox.durable_id):
        return
    batch = None
    first = message_key(mailbox.uid, rank, start)
    for key, value in store.scan_back(first, message_key(mailbox.uid, rank, end_key)):
        if batch is None:
            batch = (key, value)
            continue
        # A deletion bitmap is the row before its record batch.
        is_bitmap = PyBytes_GET_SIZE(value) and PyBytes_AS_STRING(value)[0] == DELETION_BITMAP_VERSION
        yield from newest_first(mailbox, [(key, value), batch] if is_bitmap else [batch], start, end)
        batch = None if is_bitmap else (key, value)
    if batch is not None:
        yield from newest_first(mailbox, [batch], start, end)


def delayed_messages(store, Mailbox mailbox not None, int rank, uint64_t start, uint64_t end):
    """Iterate over the durable delayed messages of a rank with msg_ids from `start` up to but not `end`.

    Gives (msg_id, created_ms, header, payload, msg_id, due_ms). Otherwise as `stored_messages`.
    """
    cdef RecordBatchReader reader
    check_rank(rank)
    end = min(end, mailbox.durable_id)
    if mailbox.delayed() == 0 or start >= end:
        return
    first = message_key(mailbox.uid, DELAYED_RANK + rank, start)
    reader = RecordBatchReader(store.scan(first, message_key(mailbox.uid, DELAYED_RANK + rank, end)), start)
    for message in reader:
        yield *message, message_number(&reader.message, TAG_DUE_MS)


cdef list newest_first(Mailbox mailbox, list rows, uint64_t start, uint64_t end):
    """The messages of one row, whose deletion bitmap may precede it, with ids from `start` up to `end`."""
    reader = RecordBatchReader(rows, start, mailbox.times)
    cdef list found = [message for message in reader if message[0] < end]
    found.reverse()
    return found
