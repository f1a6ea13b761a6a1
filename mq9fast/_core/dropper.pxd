"""Drops messages that newer ones replace. Every message that is dropped for a newer one passes `dropped`.

`Discarder` chooses what a full mailbox drops, and `Replacer` what a message with the same key replaces. A
message that is not written yet is dropped from the write batch; a stored one is deleted in the commit group
of the message that replaces it.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.deleter cimport Deleter
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.storage.record_batch cimport RecordLocation


cdef class Dropper:
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef Deleter deleter

    # Counter for monitoring.
    cdef readonly uint64_t discarded

    cdef int drop_unwritten(self, Mailbox mailbox, int rank, Py_ssize_t index) except -1
    cdef int drop_stored(
        self, Mailbox mailbox, int rank, const RecordLocation* location, uint64_t msg_id, uint64_t size
    ) except -1
    cdef bint is_held(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int dropped(self, Mailbox mailbox, uint64_t msg_id) except -1
