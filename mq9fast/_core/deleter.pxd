"""Adds deletions of single messages to the commit group, wherever the messages are.

A message may be in flight in queue groups, in the store, or not written yet. `MailboxWriter` calls `find` and
`delete_found` for DELETE, and `delete_held` for the usual one. `Answerer` calls `find` and `delete_found` for
answers, `Expirer` calls `delete_found`, and `Dropper` calls `remove` for messages that others replace.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.delivery.failures cimport Failures
from mq9fast._core.delivery.in_flight cimport InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.names cimport Names
from mq9fast._core.pubsub.client cimport PendingWork


cdef class Deleter:
    cdef MailboxIndex mailbox_index
    cdef PendingWork pending_work
    cdef Accumulator accumulator
    cdef Failures failures
    cdef Names names

    # Python objects; see the constructor.
    cdef object store                     # get(key), scan(first, end)
    cdef object write_batch               # write_batch() writes to the store what the group gathered

    cdef bint find(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1
    cdef bint has_expired(self, Mailbox mailbox, const FoundMessage* found) except -1
    cdef bint find_in_flight(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1
    cdef bint find_stored(self, Mailbox mailbox, uint64_t msg_id, FoundMessage* found) except -1
    cdef bint delete_found(self, Mailbox mailbox, const FoundMessage* found) except -1
    cdef bint remove(self, Mailbox mailbox, const FoundMessage* found) except -1
    cdef bint delete_held(self, Mailbox mailbox, QueueGroup group, InFlight* entry) except -1
    cdef bint note_removal(
        self, Mailbox mailbox, RowDeletions row, int index, uint64_t place, uint64_t size, bint in_flight
    ) except -1
    cdef bint begin_deletion(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1
