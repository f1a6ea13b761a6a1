"""Runs: the messages that one turn gathered for one rank of a mailbox, in one row of the store.

A row costs the store more than a small message does, so they share one. What is deleted of a run is noted in
a mark beside it, and both go with the last message of the run. Once most of a run is deleted it is thinned:
written again with what is left, under the same key. Messages keep their index in it, so that a RecordLocation
stays good. A message that came alone is a row of its own, without the run around it. The layouts are drawn in
storage/layout.py.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.storage.record cimport RECORD_VERSION, StoredMessage


cdef enum:
    MAX_BATCH_MESSAGES = 64         # the bits of a mark
    BATCH_ID_SPAN = 1024            # ids of a run differ by less, so that who looks for one need not look far
    BATCH_VERSION = 2               # first byte of a run
    DELETION_BITMAP_VERSION = 3     # and of a mark
    THINNED_BATCH_VERSION = 4       # and of a run that was thinned
    BATCH_FIXED_BYTES = 8
    BATCH_ENTRY_BYTES = 12
    THINNED_BATCH_FIXED_BYTES = 16
    DELETION_BITMAP_BYTES = 16


cdef struct RecordLocation:
    # Where a message lies: the id in the key of its row, and which of how many in there it is.
    uint64_t row_id
    unsigned char index
    unsigned char count


cdef extern from *:
    int popcount "__builtin_popcountll"(unsigned long long bits) noexcept nogil


cdef inline bint has(uint64_t bits, int index) noexcept:
    return (bits >> index) & 1


cdef inline bint is_message(bytes value) noexcept:
    """Whether a row is neither a run nor a mark."""
    return PyBytes_GET_SIZE(value) > 0 and PyBytes_AS_STRING(value)[0] == RECORD_VERSION


cdef inline uint64_t all_of(int count) noexcept:
    """The bits of `count` messages."""
    return ~<uint64_t>0 >> (MAX_BATCH_MESSAGES - count)


cdef bytes batch_key(uint64_t uid, int rank, uint64_t row_id)
cdef bytes row_key(uint64_t uid, int rank, const RecordLocation* location)
cdef bytes pack_deletion_bitmap(uint64_t deleted, uint32_t dead_bytes)
cdef int unpack_deletion_bitmap(bytes value, uint64_t* deleted, uint32_t* dead_bytes) except -1


cdef class RecordBatch:
    """What one row holds, a run or a message of its own."""
    cdef bytes value
    cdef uint64_t row_id
    cdef bint alone               # a message, without the run around it
    cdef int count                # of the messages that it was written with, which its indexes count
    cdef uint64_t kept            # those that it still holds, by index
    cdef Py_ssize_t entries       # where their entries begin
    cdef Py_ssize_t bodies        # and where they begin themselves

    cdef int open(self, uint64_t row_id, bint alone, bytes value) except -1
    cdef int check_entries(self) except -1
    cdef uint64_t id_of(self, int index) noexcept
    cdef int find(self, uint64_t msg_id) noexcept
    cdef int index_of(self, int place) noexcept
    cdef View stored(self, int index) noexcept
    cdef int read(self, int index, StoredMessage* message) except -1
    cdef Py_ssize_t size_of(self, uint64_t messages) noexcept
    cdef bytes thinned(self, uint64_t deleted)

    cdef inline int place_of(self, int index) noexcept:
        """Which of the messages that it still holds is the one of this index, which it holds."""
        if self.entries == BATCH_FIXED_BYTES:
            return index
        return popcount(self.kept & ((<uint64_t>1 << index) - 1))

    cdef inline RecordLocation location(self, int index) noexcept:
        cdef RecordLocation location
        location.row_id = self.row_id
        location.index = <unsigned char>index
        location.count = <unsigned char>self.count
        return location


cdef class RecordBatchReader:
    """A scan over the rows of one rank, row by row or message by message."""
    cdef object rows              # of (key, value)
    cdef uint64_t start           # ids below are passed over
    cdef RecordBatch batch
    cdef uint64_t deleted         # of the run, by index
    cdef int index                # in the run, of the message it is at
    cdef const char* entry        # DANGER: into the run's value, as the next: the entry to come
    cdef const char* body         # where its messages begin
    cdef Py_ssize_t begin         # where the one to come begins, from there
    cdef uint64_t msg_id
    cdef StoredMessage message    # DANGER: points into the run's value

    cdef bint next_row(self) except -1
    cdef bint next_message(self) except -1
    cdef View next_stored(self) noexcept
