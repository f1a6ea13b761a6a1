"""The delayed messages of mailboxes, wherever they are: in the store, or in the write batch that gathers.

`Delayer` adds them and has them take their places. `Dropper` drops those that newer messages replace, which
`Replacer` and `Discarder` find here.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.storage.record cimport NewMessage


cdef class DelayedMessages:
    # In all methods `kind` is the rank of the message plus DELAYED_RANK.
    cdef MailboxIndex mailbox_index
    cdef Accumulator accumulator
    cdef object store                     # get(key), scan_stored(first, end)

    cdef int add(self, Mailbox mailbox, const NewMessage* message, uint64_t due_ms) except -1
    cdef bytes read(self, Mailbox mailbox, int kind, uint64_t msg_id)
    cdef bint is_unwritten(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1
    cdef int remove(self, Mailbox mailbox, int kind, uint64_t msg_id, uint64_t size) except -1
    cdef list oldest(self, Mailbox mailbox, int kind, uint64_t start, Py_ssize_t most)
