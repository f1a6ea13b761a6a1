"""Adds messages to mailboxes in the commit group that gathers now: those of clients and those of the broker.

`MailboxWriter` calls it for MSG, and `Answerer` for what the broker composes of a question and its answer.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.limits cimport Limits
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.discarder cimport Discarder
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.replacer cimport Replacer
from mq9fast._core.storage.record cimport NewMessage


cdef class MessageAdder:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef Events events
    cdef Limits limits
    cdef Discarder discarder
    cdef Replacer replacer
    cdef Mailbox emptied          # `make_room` dropped all messages that this mailbox had, or None

    cdef bint make_room(self, Mailbox mailbox, const NewMessage* message) except -1
    cdef bint has_room(self, Mailbox mailbox, uint64_t size) noexcept
    cdef bint fits(self, Mailbox mailbox, uint64_t messages, uint64_t size_bytes) noexcept
    cdef bint store_has_room(self, uint64_t size) noexcept
    cdef int add(self, Mailbox mailbox, NewMessage* message) except -1
    cdef int note_life(self, Mailbox mailbox, const NewMessage* message) except -1
