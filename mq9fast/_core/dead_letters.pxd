"""Moves messages that nobody can do to the mailbox for dead letters, in the commit that removes them.

Queue groups call `bury` when a message has failed too often, `MailboxWriter` calls `terminate` for `+TERM`,
`Expirer` calls `bury_found` for messages that expire and `retry` for those that found no room, and
`EndedMessages` calls `add` for those of mailboxes that have ended.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.receipts cimport Receipts
from mq9fast._core.storage.record cimport NewMessage, StoredMessage


cdef enum Burial:
    BURIED              # the message is a dead letter, or was dropped
    NOT_FOUND           # there is no such message
    TARGET_FULL         # a limit refuses the dead letter: nothing was done


cdef class DeadLetters:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef MessageAdder adder
    cdef Deleter deleter
    cdef Receipts receipts
    cdef Events events

    # Python objects; see the constructor.
    cdef object store
    cdef object create

    # Counters for monitoring.
    cdef readonly uint64_t moved
    cdef readonly uint64_t dropped       # without a mailbox for dead letters, or dead for the second time

    cdef int retry(self, Mailbox mailbox) except -1
    cdef bint move_dead(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef Burial terminate(self, Mailbox mailbox, uint64_t place, View said) except *
    cdef Burial bury_message(
        self, Mailbox mailbox, uint64_t place, bytes reason, bytes text, uint64_t deliveries
    ) except *
    cdef Burial bury_found(
        self, Mailbox mailbox, const FoundMessage* found, const StoredMessage* message, bytes reason,
        bytes text, uint64_t deliveries
    ) except *
    cdef Mailbox find_room(self, bytes address, const NewMessage* message)
    cdef bint add(
        self, bytes target, bytes address, uint64_t name, int rank, const StoredMessage* message,
        uint64_t deliveries
    ) except -1
    cdef int tell(
        self, Mailbox mailbox, uint64_t name, const StoredMessage* message, bytes event, bytes reason
    ) except -1


cdef bint is_dead_letter(View header) noexcept
