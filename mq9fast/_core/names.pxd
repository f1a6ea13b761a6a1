"""The names of messages that took their place later: a message keeps the msg_id that its sender was told.

A delayed message takes its place under a new id of the same counter. That is the order of delivery; its name,
which clients know, stays the msg_id. Here is where to find the place of a name. `Delayer` adds names,
`Deleter` forgets them, `MailboxWriter` and LIST look them up. In the store, the names of 64 successive
msg_ids share a row.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.mailbox.mailbox cimport Mailbox


cdef class Names:
    cdef Accumulator accumulator
    cdef object store                     # get(key)

    cdef uint64_t place_of(self, Mailbox mailbox, uint64_t name) except? 0
    cdef int add(self, Mailbox mailbox, uint64_t name, int rank, uint64_t place) except -1
    cdef int forget(self, Mailbox mailbox, uint64_t name) except -1
    cdef bytes read_row(self, bytes key)
    cdef int write_row(self, bytes key, bytes row) except -1
