"""Adds messages to mailboxes; the contract is in message_adder.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport Limits
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.storage.record cimport NewMessage, content_bytes
from mq9fast._core.storage.row_format cimport ENDLESS_LIFE


cdef class MessageAdder:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None,
        Events events not None, Limits limits not None,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.events = events
        self.limits = limits

    cdef bint has_room(self, Mailbox mailbox, uint64_t size) noexcept:
        """Whether the limits allow a message of `size`; `mailbox` is None if it is still to be made."""
        cdef Limits limits = self.limits
        cdef uint64_t messages = 0 if mailbox is None else mailbox.total()
        cdef uint64_t stored_bytes = 0 if mailbox is None else mailbox.size_bytes
        if limits.max_mailbox_messages and messages >= limits.max_mailbox_messages:
            return False
        if limits.max_mailbox_bytes and stored_bytes + size > limits.max_mailbox_bytes:
            return False
        if mailbox is not None and mailbox.options is not None:
            if not mailbox.options.has_room(messages + 1, stored_bytes + size):
                return False
        if limits.max_store_bytes == 0:
            return True
        return self.mailbox_index.stored_bytes() + size <= limits.max_store_bytes

    cdef int add(self, Mailbox mailbox, NewMessage* message) except -1:
        """Give the message the next id and the time of this turn, and add it to the commit group. The caller
        has asked `has_room`. The mailbox's TTL does not start again."""
        message.msg_id = mailbox.next_id
        message.created_ms = self.mailbox_index.now_ms
        self.accumulator.group.add_message(mailbox, message)
        mailbox.next_id += 1
        self.mailbox_index.message_added(mailbox, message.rank, <uint64_t>content_bytes(message))
        if message.life_ms:
            self.note_life(mailbox, message)
        if mailbox.times is not None and mailbox.times.front.slot < 0:
            self.mailbox_index.fronts.schedule(mailbox.times, message.created_ms + mailbox.times.max_age_ms)
        if self.events.watched and mailbox.total() == 1:
            self.events.note_if_waiting(mailbox)
        return 0

    cdef int note_life(self, Mailbox mailbox, const NewMessage* message) except -1:
        """The message has a life of its own."""
        if message.life_ms == ENDLESS_LIFE:
            return 0
        self.mailbox_index.need_times(mailbox)
        mailbox.times.own_lives = True
        return self.accumulator.group.agenda.add(
            mailbox, message.rank, message.msg_id, message.created_ms + message.life_ms
        )
