"""The codec of record batches: messages of one rank of a mailbox that share a row of the store.

A commit group packs the messages that it has for a rank into record batches, because a row costs RocksDB more
than a small message does. A message that is the only one of its rank is a row by itself, without a batch.
Deleted messages are noted in a deletion bitmap, a row with the key before the batch's. Both rows are deleted
with the last message of the batch. A sparse batch is thinned: written again, under the same key, with the
messages that are left. These keep their index, so that a RecordLocation stays valid.

`BatchPuts` packs batches. `BatchDeletes`, `Thinner`, consumers and LIST read them. `row_format` has a drawing
of the layouts.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View
from mq9fast._core.storage.expiry_rule cimport ExpiryRule
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.row_format cimport (
    BATCH_FIXED_BYTES, MAX_BATCH_MESSAGES, RECORD_VERSION, BatchEntryLayout
)


cdef struct RecordLocation:
    # Where a message is stored.
    uint64_t row_id           # the id in the key of its row: that of the batch's last message
    unsigned char index       # of the message in its batch
    unsigned char count       # messages that the batch was written with; 1 for a row of a single message


cdef extern from *:
    int popcount "__builtin_popcountll"(unsigned long long bits) noexcept nogil


cdef inline bint has_bit(uint64_t bits, int index) noexcept:
    return (bits >> index) & 1


cdef inline bint is_message(bytes value) noexcept:
    """Whether a row is a single message: neither a record batch nor a deletion bitmap."""
    return PyBytes_GET_SIZE(value) > 0 and PyBytes_AS_STRING(value)[0] == RECORD_VERSION


cdef inline uint64_t all_bits(int count) noexcept:
    """The bitmap of `count` messages with all bits set."""
    return ~<uint64_t>0 >> (MAX_BATCH_MESSAGES - count)


cdef bytes batch_key(uint64_t uid, int rank, uint64_t row_id)
cdef bytes row_key(uint64_t uid, int rank, const RecordLocation* location)
cdef bytes pack_deletion_bitmap(uint64_t deleted, uint32_t dead_bytes)
cdef int unpack_deletion_bitmap(bytes value, uint64_t* deleted, uint32_t* dead_bytes) except -1


cdef class RecordBatch:
    """One row of messages: a record batch, or a single message.

    A message has an index, which never changes, and a position among those that the row still has.
    """
    cdef bytes value
    cdef uint64_t row_id
    cdef bint is_single           # the row is one message without a batch around it
    cdef int count                # messages that the batch was written with
    cdef uint64_t present         # bitmap by index: messages that the row still has
    cdef Py_ssize_t entries       # offset of the entries (id and end of each present message)
    cdef Py_ssize_t bodies        # offset of the messages

    cdef int open(self, uint64_t row_id, bint is_single, bytes value) except -1
    cdef int check_entries(self) except -1
    cdef uint64_t id_of(self, int index) noexcept
    cdef int find(self, uint64_t msg_id) noexcept
    cdef int index_of(self, int position) noexcept
    cdef View stored(self, int index) noexcept
    cdef int read(self, int index, StoredMessage* message) except -1
    cdef Py_ssize_t size_of(self, uint64_t messages) noexcept
    cdef bytes thinned(self, uint64_t deleted)

    cdef inline const BatchEntryLayout* first_entry(self) noexcept:
        """DANGER: points into `value`."""
        return <const BatchEntryLayout*>(PyBytes_AS_STRING(self.value) + self.entries)

    cdef inline int position_of(self, int index) noexcept:
        """The position of the message with this index, which must be present."""
        if self.entries == BATCH_FIXED_BYTES:
            return index
        return popcount(self.present & ((<uint64_t>1 << index) - 1))

    cdef inline RecordLocation location(self, int index) noexcept:
        cdef RecordLocation location
        check(0 <= index < self.count, b"a location is in its row")
        location.row_id = self.row_id
        location.index = <unsigned char>index
        location.count = <unsigned char>self.count
        return location


cdef class RecordBatchReader:
    """A scan over the rows of one rank, either row by row or message by message."""
    cdef object rows              # iterator of (key, value)
    cdef uint64_t start           # messages with smaller ids are skipped
    cdef ExpiryRule rule          # expired messages are skipped; None: none can expire, or all are wanted
    cdef RecordBatch batch        # the current row
    cdef uint64_t deleted         # its deletion bitmap
    cdef int index                # of the current message in the batch
    cdef const BatchEntryLayout* next_entry    # DANGER: points into the row's value, like the next two
    cdef const char* bodies       # start of the row's messages
    cdef Py_ssize_t next_body     # offset of the next message from `bodies`
    cdef uint64_t msg_id          # of the current message
    cdef StoredMessage message    # DANGER: the current message; points into the row's value

    cdef bint next_row(self) except -1
    cdef bint next_message(self) except -1
    cdef View next_stored(self) noexcept
