"""Handles publishes to `$mq9.AI.MAILBOX.MSG.` and `.DELETE.`: adds them to the commit group.

The engine calls `publish` for each publish to a `$mq9.` subject. If that returns false, the engine calls
`mailbox/commands.py`. `Session` calls `refuse`.
"""

from libc.stdint cimport uint8_t, uint64_t

from mq9fast._core.answerer cimport Answerer
from mq9fast._core.base.limits cimport Limits
from mq9fast._core.base.sip_hash cimport Hash128
from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.dead_letters cimport DeadLetters
from mq9fast._core.deduplicator cimport Deduplicator
from mq9fast._core.delayer cimport Delayer
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.delivery cimport Delivery
from mq9fast._core.delivery.in_flight cimport InFlight
from mq9fast._core.delivery.queue_group cimport QueueGroup
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.protocol.control_word cimport ControlWord
from mq9fast._core.protocol.headers cimport MessageHeaders
from mq9fast._core.protocol.parser cimport Operation
from mq9fast._core.pubsub.client cimport PendingWork, Client
from mq9fast._core.receipts cimport Receipts
from mq9fast._core.storage.record cimport NewMessage


cdef class MailboxWriter:
    cdef MailboxIndex mailbox_index
    cdef Delivery delivery
    cdef PendingWork pending_work
    cdef Limits limits
    cdef Accumulator accumulator
    cdef MessageAdder adder
    cdef Delayer delayer
    cdef Deleter deleter
    cdef Deduplicator deduplicator
    cdef readonly Answerer answerer
    cdef readonly Receipts receipts
    cdef readonly DeadLetters dead_letters

    # Python objects; see the constructor.
    cdef object store_errors              # the exception classes that a read of the store raises
    cdef object create                    # create(address) -> Mailbox, or None past a limit
    cdef dict refusals                    # error code -> JSON reply

    # Counters for monitoring.
    cdef readonly uint64_t accepted
    cdef readonly uint64_t duplicates     # not stored, because a message with the same Nats-Msg-Id is
    cdef readonly uint64_t deleted
    cdef readonly uint64_t dropped        # refused publishes without a reply subject
    cdef readonly uint64_t over_limit

    cdef bint publish(self, Client client, const Operation* op) except -1
    cdef int add_message(self, Client client, const Operation* op, View rest) except -1
    cdef int delete(self, Client client, const Operation* op, View rest) except -1
    cdef int refuse(self, Client client, View reply, str code) except -1
    cdef bint is_plain(self, Mailbox mailbox, uint8_t flags, ControlWord word) noexcept
    cdef bint find_by_name(
        self, Mailbox mailbox, uint64_t name, uint64_t place, FoundMessage* found
    ) except -1
    cdef int cancel(self, Client client, View reply, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int tell(
        self, Client client, Mailbox mailbox, uint64_t msg_id, bint has_receipts, bytes block, bytes answer
    ) except -1
    cdef bint answer(
        self, Client client, const Operation* op, Mailbox mailbox, uint64_t msg_id,
        const FoundMessage* question, View header
    ) except -1
    cdef bint accept_headers(self, Client client, const Operation* op, MessageHeaders* headers) except -1
    cdef bint accept_receipts(self, Client client, View reply, const MessageHeaders* headers) except -1
    cdef bint accept_target(self, Client client, View reply, View address) except -1
    cdef bint answer_duplicate(self, Client client, View reply, Mailbox mailbox, Hash128 hashed) except -1
    cdef bint make_room(
        self, Client client, View reply, Mailbox mailbox, const NewMessage* message
    ) except -1
    cdef int answer_holds(
        self, Client client, Mailbox mailbox, uint64_t msg_id, ControlWord word, View body
    ) except -1
    cdef int terminate(self, Client client, const Operation* op, Mailbox mailbox, uint64_t place) except -1
    cdef int answer_hold(self, QueueGroup group, InFlight* entry, ControlWord word, View body) except -1
