"""Adds messages to mailboxes; the contract is in message_adder.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport Limits
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.discarder cimport Discarder
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.replacer cimport Replacer
from mq9fast._core.storage.record cimport NewMessage, content_bytes
from mq9fast._core.storage.row_format cimport ENDLESS_LIFE, HAS_KEY


cdef class MessageAdder:
    """One for each broker."""

    def __cinit__(
        self, MailboxIndex mailbox_index not None, Accumulator accumulator not None,
        Events events not None, Limits limits not None,
        Discarder discarder not None, Replacer replacer not None,
    ):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator
        self.events = events
        self.limits = limits
        self.discarder = discarder
        self.replacer = replacer

    cdef bint make_room(self, Mailbox mailbox, const NewMessage* message) except -1:
        """Whether the mailbox, None if it is still to be made, takes the message. It may drop old ones for
        that. Raises what the store raises."""
        cdef uint64_t size = <uint64_t>content_bytes(message)
        cdef bint has_messages
        self.emptied = None
        if message.key.size and mailbox is not None:
            self.replacer.find(mailbox, message.key)
            if self.replacer.frees_space:
                # The new message takes the place of the old one.
                if self.store_has_room(size) and self.fits(
                    mailbox, mailbox.total(), mailbox.size_bytes - self.replacer.old.found.size + size
                ):
                    return True
        if self.has_room(mailbox, size):
            return True
        if mailbox is None or mailbox.options is None or not mailbox.options.discards_old:
            return False
        has_messages = mailbox.placed() > 0
        if not self.store_has_room(size) or not self.discarder.make_room(mailbox, size):
            return False
        if has_messages and mailbox.placed() == 0:
            self.emptied = mailbox
        return True

    cdef bint has_room(self, Mailbox mailbox, uint64_t size) noexcept:
        """Whether the limits allow a message of `size`; `mailbox` is None if it is still to be made."""
        cdef uint64_t messages = 0 if mailbox is None else mailbox.total()
        cdef uint64_t stored_bytes = 0 if mailbox is None else mailbox.size_bytes
        return self.fits(mailbox, messages + 1, stored_bytes + size) and self.store_has_room(size)

    cdef bint fits(self, Mailbox mailbox, uint64_t messages, uint64_t size_bytes) noexcept:
        """Whether the mailbox may have so many messages and bytes."""
        cdef Limits limits = self.limits
        if limits.max_mailbox_messages and messages > limits.max_mailbox_messages:
            return False
        if limits.max_mailbox_bytes and size_bytes > limits.max_mailbox_bytes:
            return False
        return mailbox is None or mailbox.options is None or mailbox.options.has_room(messages, size_bytes)

    cdef bint store_has_room(self, uint64_t size) noexcept:
        cdef uint64_t most = self.limits.max_store_bytes
        return most == 0 or self.mailbox_index.stored_bytes() + size <= most

    cdef int add(self, Mailbox mailbox, NewMessage* message) except -1:
        """Give the message the next id and the time of this turn, and add it to the commit group. The caller
        has called `make_room`, which finds what a message with a key replaces. The mailbox's TTL does not
        start again."""
        cdef bint was_empty = mailbox.placed() == 0 and self.emptied is not mailbox
        self.emptied = None
        if message.key.size:
            message.flags |= HAS_KEY
            self.replacer.replace(mailbox, message.key)
        message.msg_id = mailbox.next_id
        message.created_ms = self.mailbox_index.now_ms
        self.accumulator.group.add_message(mailbox, message)
        if message.key.size:
            self.replacer.remember(mailbox, self.accumulator.group.puts.count - 1)
        mailbox.next_id += 1
        self.mailbox_index.message_added(mailbox, message.rank, <uint64_t>content_bytes(message))
        if message.life_ms:
            self.note_life(mailbox, message)
        if mailbox.times is not None and mailbox.times.front.slot < 0:
            self.mailbox_index.fronts.schedule(mailbox.times, message.created_ms + mailbox.times.max_age_ms)
        if was_empty and self.events.watched:
            self.events.note_if_waiting(mailbox)
        return self.discarder.dropper.tell_all()

    cdef int note_life(self, Mailbox mailbox, const NewMessage* message) except -1:
        """The message has a life of its own."""
        if message.life_ms == ENDLESS_LIFE:
            return 0
        self.mailbox_index.need_times(mailbox)
        mailbox.times.own_lives = True
        return self.accumulator.group.agenda.add(
            mailbox, message.rank, message.msg_id, message.created_ms + message.life_ms
        )
