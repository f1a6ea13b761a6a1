"""Recognizes repeated messages by the ids that clients gave them (Nats-Msg-Id), in each mailbox.

`MailboxWriter` calls `find` before it stores a message with an id, and `remember` after. Housekeeping calls
`work_some`, which forgets ids that are due, and loads those of an earlier broker.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.sip_hash cimport Hash128
from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.pubsub.client cimport PendingWork


cdef class Deduplicator:
    cdef MailboxIndex mailbox_index
    cdef PendingWork pending_work
    cdef Accumulator accumulator
    cdef Hash128 key

    # Python objects; see the constructor.
    cdef object store
    cdef object write_batch

    cdef Hash128 hash_of(self, View id) noexcept
    cdef bint find(self, Mailbox mailbox, Hash128 hashed, uint64_t* msg_id) except -1
    cdef int remember(self, Mailbox mailbox, Hash128 hashed, uint64_t msg_id) except -1

    cdef bint load_rows(self, Mailbox mailbox, Py_ssize_t most) except -1
    cdef int forget_all(self, Mailbox mailbox) except -1
    cdef bint forget_due(self) except -1
    cdef bint load_next(self) except -1
