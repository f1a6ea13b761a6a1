"""Thinning: runs of which most is deleted are written again without what is deleted, in the background."""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.storage.record_batch cimport RecordBatchReader


cdef class Thinner:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator

    # The mailbox under way, None if there is none, and the place in it: everything before was looked at.
    cdef Mailbox mailbox
    cdef uint64_t uid
    cdef int rank
    cdef uint64_t cursor
    cdef bint found               # something to thin
    cdef uint64_t dead_bytes      # what is left of what is deleted, as far as it was looked at
    cdef uint64_t counted_bytes   # what would be counted for the mailbox if nothing were deleted meanwhile

    cdef bint take_next(self)
    cdef int finish(self) except -1
    cdef Py_ssize_t examine(self, object store, Py_ssize_t max_bytes) except -1
    cdef bint loses_in_group(self, uint64_t row_id) except -1
    cdef int thin(self, RecordBatchReader reader, object store) except -1
    cdef int recount(self, RowDeletions row, uint32_t dead_bytes) except -1
