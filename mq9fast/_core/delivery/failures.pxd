"""Counts the failed deliveries of messages, in memory and in the commit group that gathers.

Queue groups call it when a delivery fails and before they give out a message, plain subscriptions to pass
over what is dead, `DeadLetters` for what it cannot move now, `Deleter` when a message is deleted, and LIST to
show the count.
"""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.failed_deliveries cimport Failure
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex


cdef enum:
    NO_DELAY_GIVEN = -1
    RETRY_MS = 1000       # between two attempts to move dead letters to a full mailbox


cdef class Failures:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef object store                     # get(key), scan(first, end)
    cdef readonly uint64_t counted        # failed deliveries, for monitoring

    cdef bint load(self, Mailbox mailbox, Py_ssize_t most) except -1
    cdef Failure* find(self, Mailbox mailbox, uint64_t msg_id) noexcept
    cdef bint count(
        self, Mailbox mailbox, uint64_t msg_id, uint64_t asked_ms, uint32_t* counted
    ) except -1
    cdef Failure* add(self, Mailbox mailbox, uint64_t msg_id) except NULL
    cdef int put_row(self, Mailbox mailbox, const Failure* failure) except -1
    cdef int keep_dead(self, Mailbox mailbox, uint64_t msg_id, uint32_t deliveries, bytes text) except -1
    cdef int retry_later(self, Mailbox mailbox, uint64_t due_ms) except -1
    cdef int forget(self, Mailbox mailbox, uint64_t msg_id) except -1
