"""Drops messages that newer ones replace, and tells those who want to know.

`Discarder` chooses what a full mailbox drops, and `Replacer` what a message with the same key replaces. A
message that is not written yet is dropped from the write batch; a stored or delayed one is deleted in the
commit group of the message that replaces it. `MessageAdder`, `Delayer` and housekeeping call `tell_all` when
they have dropped what they wanted to: receipts are messages, so they may make other mailboxes drop messages
in turn.
"""

from libc.stdint cimport uint8_t, uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.commit.batch_deletes cimport FoundMessage
from mq9fast._core.delayed_messages cimport DelayedMessages
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.delivery.events cimport Events
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.storage.record cimport StoredMessage


cdef class Dropper:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef Deleter deleter
    cdef DelayedMessages delayed
    cdef Events events
    cdef object store                 # get(key)
    cdef object send_receipts         # see the constructor

    cdef list untold                  # (mailbox, msg_id, header block, is_chained): receipts are to be sent
    cdef bint is_telling

    # Counter for monitoring.
    cdef readonly uint64_t discarded

    cdef int drop_unwritten(self, Mailbox mailbox, int rank, Py_ssize_t index) except -1
    cdef int drop_stored(self, Mailbox mailbox, FoundMessage* found) except -1
    cdef int drop_delayed(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1
    cdef bint is_held(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef bint must_read(self, Mailbox mailbox, uint8_t flags) noexcept
    cdef int note(self, Mailbox mailbox, uint64_t name, const StoredMessage* message) except -1
    cdef int send_untold(self) except -1

    cdef inline int tell_all(self) except -1:
        """Send the receipts of what was dropped."""
        return self.send_untold() if len(self.untold) and not self.is_telling else 0
