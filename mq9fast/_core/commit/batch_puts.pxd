"""Messages that a turn gathered: copied once as they came, and made into runs when the batch is written."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, view
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.storage.record_batch cimport RecordLocation


cdef enum:
    MAX_BATCH_BYTES = 8192  # of a run at most; as much of it may stay for one message that is not deleted


cdef struct Message:
    Py_ssize_t start          # in the arena, as it is stored
    Py_ssize_t size
    uint64_t msg_id
    Py_ssize_t following      # in the same run, or -1
    RecordLocation location   # known once the run is written


cdef struct OpenBatch:
    PyObject* mailbox         # borrowed: the turn keeps those it touched
    uint64_t uid
    int rank
    int count
    Py_ssize_t first          # message
    Py_ssize_t last
    Py_ssize_t size           # of its messages, stored


cdef class BatchPuts:
    cdef char* arena
    cdef Py_ssize_t arena_size
    cdef Py_ssize_t arena_capacity
    cdef Message* messages
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef OpenBatch* open_batches
    cdef Py_ssize_t open_batch_count
    cdef Py_ssize_t open_batch_capacity

    cdef Py_ssize_t add(
        self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t now_ms, View header, View payload
    ) except -1
    cdef OpenBatch* open_batch(self, Mailbox mailbox, int rank, uint64_t msg_id, Py_ssize_t size) except NULL
    cdef bytes pack(self, const OpenBatch* open_batch)
    cdef int write(self, object put_row) except -1
    cdef void clear(self) noexcept

    cdef inline View stored(self, const Message* message) noexcept:
        """DANGER: good until the next message is added."""
        return view(self.arena + message.start, message.size)
