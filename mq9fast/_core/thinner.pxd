"""Rewrites record batches in which most messages are deleted, without those messages, to free disk space.

Housekeeping calls `step`, which reads about a given number of bytes of the store and adds the rewritten rows
to the commit group. `MailboxIndex` adds mailboxes to the thinning queue when they become sparse.
"""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.storage.record_batch cimport RecordBatchReader


cdef class Thinner:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator

    # The mailbox that is examined now, None if there is none, and how far it is examined.
    cdef Mailbox mailbox
    cdef uint64_t uid                   # of the mailbox when its examination began
    cdef int rank
    cdef uint64_t cursor                # rows of the rank with smaller ids are examined
    cdef bint has_thinned               # a batch of the mailbox was thinned
    cdef uint64_t dead_bytes            # found so far and left in place
    cdef uint64_t expected_dead_bytes   # of the mailbox, unless messages are deleted in the meantime

    cdef bint next_mailbox(self)
    cdef int finish(self) except -1
    cdef Py_ssize_t examine(self, object store, Py_ssize_t max_bytes) except -1
    cdef bint has_pending_deletes(self, uint64_t row_id) except -1
    cdef int thin(self, RecordBatchReader reader, object store) except -1
    cdef int set_dead_bytes(self, RowDeletions row, uint32_t dead_bytes) except -1
