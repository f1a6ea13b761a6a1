"""The deletions of a write batch, by the rows of the store that have the messages.

`MailboxWriter` and `Thinner` look up rows here, which reads the store, and add deletions through the commit
group. When the group's batch is complete, it calls `write`: each changed row gets a new deletion bitmap, or
is deleted if no message of it is left.
"""

from libc.stdint cimport uint8_t, uint64_t

from mq9fast._core.commit.row_deletions cimport RowDeletions, RowIndex
from mq9fast._core.storage.record_batch cimport RecordBatch, RecordLocation
from mq9fast._core.storage.value_format cimport ValuePointer


cdef struct FoundMessage:
    # A message that is in the store.
    uint64_t place            # the id in its row
    uint64_t name             # the id that clients know
    int rank
    uint8_t flags             # the set of MessageFlags
    uint64_t size             # of header and payload, in bytes
    RecordLocation location


cdef class BatchDeletes:
    cdef dict rows                # of this write batch: key of the deletion bitmap or message -> RowDeletions
    cdef RowDeletions last_row    # the result of the last call of `row`
    cdef RowDeletions last_found  # the record batch in which `find` found the last message
    cdef RowIndex index           # record batches that were looked up for this and earlier write batches
    cdef uint64_t lookups         # reads of the store so far
    cdef bytes last_stored        # the row under the key that `is_described` looked up

    cdef RowDeletions row(self, uint64_t uid, int rank, const RecordLocation* location, object store)
    cdef bint is_described(
        self, uint64_t uid, int rank, uint64_t from_id, uint64_t end_id, object store,
        uint64_t* row_id, ValuePointer* pointer
    ) except -1
    cdef RecordBatch read_row_of(
        self, uint64_t uid, int rank, uint64_t msg_id, uint64_t end_id, object store
    )
    cdef RowDeletions known_row(self, uint64_t uid, int rank, uint64_t msg_id)
    cdef RowDeletions read_bitmap(
        self, bytes key, uint64_t uid, int rank, const RecordLocation* location, object store
    )
    cdef int add_row(self, RowDeletions row) except -1
    cdef RowDeletions index_row(
        self, uint64_t uid, int rank, uint64_t msg_id, RecordBatch batch, object store
    )
    cdef bint find(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, FoundMessage* found
    ) except -1
    cdef bint next_live(
        self, uint64_t uid, int rank, uint64_t from_id, uint64_t end_id, object store,
        FoundMessage* found
    ) except -1
    cdef bint find_live(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, FoundMessage* found
    ) except -1
    cdef bint is_deleted(self, uint64_t uid, int rank, const RecordLocation* location, object store) except -1
    cdef bint single_deleted(self, uint64_t uid, int rank, uint64_t msg_id) except -1
    cdef int write(self, object put, object delete) except -1
    cdef int forget_rows(self) except -1
