"""Delayed messages; the contract, and who uses it, is in delayer.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.broker_time cimport BrokerTime
from mq9fast._core.base.view cimport to_bytes, view, view_of
from mq9fast._core.delayed_messages cimport DelayedMessages
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.message_adder cimport MessageAdder
from mq9fast._core.names cimport Names
from mq9fast._core.protocol.headers cimport MQ9_KEY, find_option
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport (
    NewMessage, StoredMessage, content_bytes, empty_message, put_number, read_life, unpack_message
)
from mq9fast._core.storage.row_format cimport (
    DELAYED_RANK, HAS_KEY, HAS_LIFE, HAS_NAME, NUMBER_BYTES, TAG_DUE_MS, TAG_LIFE, TAG_NAME
)


cdef class Delayer:
    """One for each broker. Methods raise what the store raises, and CorruptRecord."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, DelayedMessages delayed not None,
        MessageAdder adder not None, Names names not None, BrokerTime time not None,
    ):
        self.mailbox_index = mailbox_index
        self.delayed = delayed
        self.adder = adder
        self.names = names
        self.time = time

    cdef int delay(self, Mailbox mailbox, NewMessage* message) except -1:
        """Give the message the next id, and add it to the commit group as delayed. The caller has asked
        `has_room`."""
        cdef char[2 * NUMBER_BYTES] attributes
        cdef char* at = attributes
        self.adder.emptied = None
        if message.key.size:
            message.flags |= HAS_KEY
            self.adder.replacer.replace(mailbox, message.key)
        message.msg_id = mailbox.next_id
        message.created_ms = self.mailbox_index.now_ms
        at = put_number(at, TAG_LIFE, message.life_ms)
        at = put_number(at, TAG_DUE_MS, message.created_ms + message.delay_ms)
        message.attributes = view(attributes, at - attributes)
        self.delayed.add(mailbox, message, message.created_ms + message.delay_ms)
        if message.key.size:
            self.adder.replacer.remember(mailbox, (DELAYED_RANK + message.rank, message.msg_id))
        mailbox.next_id += 1
        return self.adder.discarder.dropper.tell_all()

    cdef bytes reply(self, Mailbox mailbox, const NewMessage* message):
        """The JSON reply to the MSG. If the mailbox expires before the message is due, it says when."""
        cdef uint64_t due_ms = message.created_ms + message.delay_ms
        deliver_at = self.time.wall_ms(due_ms) // 1000
        if mailbox.past_deadline(due_ms):
            expires_at = self.time.wall_ms(mailbox.deadline_ms()) // 1000
            return b'{"msg_id":%d,"deliver_at":%d,"expires_at":%d}' % (message.msg_id, deliver_at, expires_at)
        return b'{"msg_id":%d,"deliver_at":%d}' % (message.msg_id, deliver_at)

    cdef bint cancel(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Add the deletion of a delayed message that is written to the commit group, and set what
        `cancelled_header` and `cancelled_flags` say of it. False if there is no such message."""
        cdef StoredMessage message
        cdef bytes value
        cdef int kind
        if mailbox.delayed() == 0:
            return False
        for kind in range(DELAYED_RANK, DELAYED_RANK + RANKS):
            value = self.delayed.read(mailbox, kind, msg_id)
            if value is None:
                continue
            unpack_message(view_of(value), &message)
            self.cancelled_header = to_bytes(message.header)
            self.cancelled_flags = message.flags
            self.delayed.remove(mailbox, kind, msg_id, <uint64_t>(message.header.size + message.payload.size))
            return True
        return False

    cdef bint place(self, Mailbox mailbox, int rank, uint64_t msg_id) except -1:
        """A message is due: give it its place, behind all of its rank. False if it was cancelled. The store
        must have all that was changed before."""
        cdef int kind = DELAYED_RANK + rank
        cdef bytes value = self.delayed.read(mailbox, kind, msg_id)
        cdef char[2 * NUMBER_BYTES] attributes
        cdef char* at = attributes
        cdef StoredMessage stored
        cdef NewMessage message = empty_message()
        if value is None:
            return False
        unpack_message(view_of(value), &stored)
        message.rank = rank
        message.flags = stored.flags | HAS_NAME
        message.header = stored.header
        message.key = find_option(stored.header, MQ9_KEY)
        if message.key.size:
            self.adder.replacer.find(mailbox, message.key)
            self.adder.replacer.spare(kind, msg_id)
        message.payload = stored.payload
        if stored.flags & HAS_LIFE:
            message.life_ms = read_life(&stored)
        at = put_number(at, TAG_LIFE, message.life_ms)
        at = put_number(at, TAG_NAME, msg_id + 1)
        message.attributes = view(attributes, at - attributes)
        self.delayed.remove(mailbox, kind, msg_id, <uint64_t>content_bytes(&message))
        self.adder.add(mailbox, &message)
        self.names.add(mailbox, msg_id, rank, message.msg_id)
        return True
