"""Sends receipts: messages of the broker that say what became of another message.

What removes a message asks `Mailbox.wants_receipts` and `block_of` before, and calls `send` after: then the
receipt is in the write batch that removes the message. `MailboxWriter` does so for DELETE and answers,
`Expirer` for expired messages, `Dropper` for those that newer ones replace, `DeadLetters`, and
`EndedMessages` for the messages of ended mailboxes.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.pubsub.client cimport Client
from mq9fast._core.storage.record cimport StoredMessage


cdef enum ReceiptEvent:
    # What became of a message.
    SETTLED        # deleted or answered by a client
    EXPIRED
    DEAD           # it is a dead letter now
    REPLACED       # dropped because a newer message replaced it
    RECEIPT_EVENTS


cdef class Receipts:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef MessageAdder adder
    cdef object store                    # get(key)
    cdef readonly uint64_t sent
    cdef readonly uint64_t dropped       # their mailbox did not exist or had no room

    cdef bytes block_of(self, Mailbox mailbox, const FoundMessage* message)
    cdef int settle(self, Mailbox mailbox, uint64_t msg_id, bytes block, bytes details) except -1
    cdef int expire(self, Mailbox mailbox, uint64_t msg_id, const StoredMessage* message) except -1
    cdef int send(
        self, bytes address, bytes log, uint64_t msg_id, bytes block, ReceiptEvent event, bytes details,
        bint may_discard=*
    ) except -1
    cdef int add_to(self, View address, bytes header, bytes body, bint may_discard) except -1


cdef bint valid_receipt_events(View value) noexcept
cdef bytes settled_details(Client client, bytes answer)
