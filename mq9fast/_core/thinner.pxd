"""Thinning: runs of which most is deleted are written again without what is deleted, in the background."""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.commit.deleted_row cimport ErasedRow
from mq9fast._core.mailbox.mailbox cimport Directory, Mailbox
from mq9fast._core.mailbox_writer cimport Intake
from mq9fast._core.storage.record_batch cimport Runs


cdef class Thinner:
    cdef Directory directory
    cdef Intake intake

    # The mailbox under way, None if there is none, and the place in it: everything before was looked at.
    cdef Mailbox mailbox
    cdef uint64_t uid
    cdef int rank
    cdef uint64_t place
    cdef bint found               # something to thin
    cdef uint64_t dead_bytes      # what is left of what is deleted, as far as it was looked at
    cdef uint64_t counted_bytes   # what would be counted for the mailbox if nothing were deleted meanwhile

    cdef bint take_next(self)
    cdef int finish(self) except -1
    cdef Py_ssize_t look(self, object store, Py_ssize_t most_bytes) except -1
    cdef bint loses_in_turn(self, uint64_t row_id) except -1
    cdef int thin(self, Runs runs, object store) except -1
    cdef int recount(self, ErasedRow row, uint32_t dead_bytes) except -1
