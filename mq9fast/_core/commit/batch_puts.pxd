"""The new messages of a write batch: copied when they arrive, packed into record batches when it is written.

`CommitGroup` owns one. `Delivery` reads the messages for live pushes from it, until the group is released.
`Dropper` drops messages that others replace before they are written: those cost the store nothing.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View, view, view_of
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.record cimport NewMessage
from mq9fast._core.storage.record_batch cimport RecordLocation


cdef enum:
    # Of packed messages in a record batch. One message that is not deleted may keep as much on the disk.
    MAX_BATCH_BYTES = 8192
    # The same for messages of at least MIN_LOGGED_BYTES: fewer rows, and larger reads.
    MAX_BATCH_BYTES_OF_LARGE = 32768
    # A packed message of more bytes is copied into its row at once.
    MAX_ARENA_BYTES = MAX_BATCH_BYTES_OF_LARGE // 2


cdef struct Message:
    PyObject* row             # bytes that are the packed message, borrowed from `rows`; NULL: in the arena
    Py_ssize_t start          # offset of the packed message in the arena
    Py_ssize_t size           # of the packed message; 0 = dropped before it was written
    uint64_t msg_id
    int next_in_batch         # index of the next message of the same record batch, or -1
    int open_batch            # index of the open record batch, until the write batch is written
    RecordLocation location   # set when the write batch is written


cdef struct OpenBatch:
    # A record batch to which messages are still added.
    PyObject* mailbox         # borrowed: the commit group holds references to the mailboxes that it changes
    uint64_t uid
    int rank
    bint composed             # all of its messages are, or none: see CommitGroup.composed
    int count                 # messages that are not dropped
    int first                 # index of the first of these, or -1
    int last                  # index of its last message, which may be dropped
    int next                  # index of the next open batch of the same mailbox and rank, or -1
    Py_ssize_t size           # of its packed messages
    # Of the last open batch of a mailbox and rank.
    int oldest                # index of the first one with messages, or of itself
    Py_ssize_t unwritten      # messages of all of them


cdef class BatchPuts:
    cdef char* arena
    cdef Py_ssize_t arena_size
    cdef Py_ssize_t arena_capacity
    cdef list rows            # of large messages
    cdef Message* messages
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef OpenBatch* open_batches
    cdef Py_ssize_t open_batch_count
    cdef Py_ssize_t open_batch_capacity

    cdef Py_ssize_t add(self, Mailbox mailbox, const NewMessage* new) except -1
    cdef OpenBatch* open_batch(self, Mailbox mailbox, const NewMessage* new, Py_ssize_t size) except NULL
    cdef Py_ssize_t unwritten(self, Mailbox mailbox, int rank) noexcept
    cdef Py_ssize_t next_unwritten(self, Mailbox mailbox, int rank, Py_ssize_t after) noexcept
    cdef uint64_t content_size(self, Py_ssize_t index) except? 0
    cdef int rank_of(self, Py_ssize_t index) noexcept
    cdef void drop(self, Py_ssize_t index) noexcept
    cdef uint64_t row_id(self, const OpenBatch* open_batch) noexcept
    cdef bytes pack(self, const OpenBatch* open_batch)
    cdef int write(self, object put_row) except -1
    cdef void clear(self) noexcept

    cdef inline View stored(self, const Message* message) noexcept:
        """The packed message. DANGER: valid until the next message is added."""
        if message.row is not NULL:
            return view_of(<bytes>message.row)
        check(message.start + message.size <= self.arena_size, b"a message is in the arena")
        return view(self.arena + message.start, message.size)
