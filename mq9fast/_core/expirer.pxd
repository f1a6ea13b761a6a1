"""Does what is due, in the background: removes expired messages, and has delayed ones take their places.

Nobody sees an expired message: readers skip it by the rule of its mailbox. Here it is deleted, so that it
counts no more. Housekeeping calls `work_some`. Every expired message passes through `expire`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.agenda cimport Agenda
from mq9fast._core.dead_letters cimport DeadLetters
from mq9fast._core.delayer cimport Delayer
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.receipts cimport Receipts
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation


cdef enum Removal:
    # What became of an expired message.
    REMOVED
    GONE                 # it was removed before
    KEPT                 # its mailbox for dead letters is full: it is tried again


cdef class RowsInOrder:
    cdef object store
    cdef Mailbox mailbox
    cdef int rank
    cdef RecordBatchReader reader
    cdef bint is_at_end

    cdef int find(self, uint64_t msg_id) except -2


cdef class Expirer:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef Deleter deleter
    cdef Receipts receipts
    cdef DeadLetters dead_letters
    cdef Delayer delayer
    cdef RowsInOrder rows                 # in which the last message was looked for
    cdef object store                     # get(key), scan(first, end)
    cdef object write_batch               # write_batch() writes to the store what the group gathered
    cdef set placed                       # mailboxes with new places in the write batch
    cdef set unsettled                    # those of failed commit groups: the places may be stored
    cdef bint has_kept                    # `expire_first_of` met a message that it could not remove
    cdef readonly uint64_t expired        # counts messages

    cdef Removal expire(
        self, Mailbox mailbox, int rank, uint64_t msg_id, const RecordLocation* location,
        const StoredMessage* message,
    ) except *
    cdef bint expire_fronts(self, uint64_t end_ns) except -1
    cdef int expire_first(self, Mailbox mailbox, uint64_t end_ns) except -1
    cdef uint64_t expire_first_of(self, Mailbox mailbox, int rank, uint64_t end_ns) except? 0
    cdef bint do_due(self, uint64_t end_ns) except -1
    cdef bint do_rows(self, Agenda agenda, uint64_t end_ns) except -1
    cdef bint do_row(self, bytes key, bytes value) except -1
    cdef int do_message(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1
    cdef int write_places(self) except -1
    cdef int settle(self) except -1
    cdef int expire_own_life(self, Mailbox mailbox, int rank, uint64_t msg_id) except -1
