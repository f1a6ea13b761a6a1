"""What is due when: messages whose life ends, and delayed messages that take their place.

It is in the store, in due rows of all mailboxes in the order of time. In memory there is only what the write
batch adds, and a time before which nothing is due. So what waits costs no memory, and a start does not read
it. `MessageAdder` adds to it, the commit group writes it, and `Expirer` works it off.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.row_format cimport DueEntryLayout


cdef struct DueMessage:
    # A message that the write batch adds.
    PyObject* mailbox             # owned reference
    uint64_t uid
    uint64_t due_ms
    uint64_t msg_id
    unsigned char kind            # as in the due row


cdef class Agenda:
    cdef DueMessage* added
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef uint64_t next_ms         # nothing that is in the store is due before
    cdef dict delayed             # those that the write batch adds: (uid, kind) -> msg_id -> packed message
    cdef set cancelled            # keys of stored delayed messages that the write batch deletes
    cdef dict name_rows           # by key: rows of names that the write batch changes; see `Names`

    cdef int add(self, Mailbox mailbox, int kind, uint64_t msg_id, uint64_t due_ms) except -1
    cdef int write(self, object put) except -1
    cdef Py_ssize_t pack(self, object put, Py_ssize_t first, DueEntryLayout* entries) except -1
    cdef void clear(self) noexcept
