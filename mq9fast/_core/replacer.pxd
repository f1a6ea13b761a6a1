"""Finds the message that a new one with the same key (Mq9-Key) replaces, and has it dropped.

`MessageAdder` calls `find` before it adds a message with a key, then `replace` and `remember`, and so does
`Delayer` for delayed ones. Housekeeping
calls `work_some`, which drops replaced messages that members gave back, and rows of keys without a message.
LIST calls `find_key`.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.sip_hash cimport Hash128
from mq9fast._core.base.view cimport View
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.discarder cimport OldMessage
from mq9fast._core.dropper cimport Dropper
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.pubsub.client cimport PendingWork


cdef class Replacer:
    cdef MailboxIndex mailbox_index
    cdef PendingWork pending_work
    cdef Accumulator accumulator
    cdef Dropper dropper
    cdef Hash128 hash_key
    cdef object store
    cdef object finish_write      # finish_write() has the store have all of the sealed group

    # What `find` found, until `replace`.
    cdef Mailbox mailbox          # None if nothing was looked for
    cdef bytes row_key            # of the key
    cdef bint has_row             # the key has a row, or will have one with this batch
    cdef bint has_old             # a message has the key
    cdef bint is_held             # a member has that message: it is not dropped now
    cdef bint frees_space         # that message is dropped now
    cdef OldMessage old

    cdef dict held                # mailboxes with replaced messages that members held -> None
    cdef dict stale               # mailboxes with many rows of keys without a message -> None
    cdef bytes sweep_at           # the next row of the first mailbox in `stale`; None = its first row

    cdef int find(self, Mailbox mailbox, View key) except -1
    cdef int find_row(self, Mailbox mailbox) except -1
    cdef int replace(self, Mailbox mailbox, View key) except -1
    cdef int find_delayed(self, Mailbox mailbox, int kind, uint64_t msg_id) except -1
    cdef void spare(self, int kind, uint64_t msg_id) noexcept
    cdef int remember(self, Mailbox mailbox, object owner) except -1
    cdef bint is_live(self, Mailbox mailbox, int rank, uint64_t msg_id) except -1
    cdef int check_keys(self, Mailbox mailbox) except -1
    cdef int drop_returned(self, Mailbox mailbox) except -1
    cdef int forget(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef bint sweep(self, Mailbox mailbox) except -1
