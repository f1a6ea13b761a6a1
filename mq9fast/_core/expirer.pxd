"""Removes messages that have expired from the store, in the background.

Nobody sees an expired message: readers skip it by the rule of its mailbox. Here it is deleted, so that it
counts no more. Housekeeping calls `work_some`. Every expired message passes through `expire`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordLocation


cdef class Expirer:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef Deleter deleter
    cdef object store                     # get(key), scan(first, end)
    cdef readonly uint64_t expired        # counts messages

    cdef bint expire(
        self, Mailbox mailbox, int rank, uint64_t msg_id, const RecordLocation* location,
        const StoredMessage* message,
    ) except -1
    cdef bint expire_first(self, Mailbox mailbox, uint64_t end_ns) except -1
    cdef uint64_t expire_first_of(self, Mailbox mailbox, int rank, uint64_t end_ns) except? 0
