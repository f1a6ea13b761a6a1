"""What one turn gathered for the mailboxes: a write batch, and what leaves once that batch is durable."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View
from mq9fast._core.commit.batch_deletes cimport Erased
from mq9fast._core.commit.batch_puts cimport Gathered
from mq9fast._core.commit.deleted_row cimport ErasedRow
from mq9fast._core.mailbox.mailbox cimport Mailbox


cdef enum AckKind:
    ACK_MSG_ID            # {"msg_id": number}
    ACK_DELETED
    ACK_NOT_DELETED
    ACK_BODY              # body as it is


cdef struct Ack:
    Py_ssize_t reply_start    # in Turn.arena
    Py_ssize_t reply_size
    AckKind kind
    uint64_t number
    PyObject* body            # owned bytes, or NULL


cdef struct Fresh:
    # A message for those who read along live.
    PyObject* mailbox         # owned
    Py_ssize_t message        # index in what was gathered
    uint64_t uid
    uint64_t msg_id
    int rank


cdef struct Gone:
    # A deleted message that queue groups may hold.
    PyObject* mailbox         # owned
    uint64_t uid
    uint64_t msg_id


cdef struct Mark:
    # How far a mailbox is durable once this turn is, and the first id that its batch gave.
    PyObject* mailbox         # owned
    uint64_t uid
    uint64_t first_id
    uint64_t next_id


cdef class Turn:
    cdef readonly object batch        # the store's: put(key, value), delete(key), delete_range(first, end)
    cdef object put
    cdef object delete
    cdef readonly Py_ssize_t batch_bytes      # gathered since the last write
    cdef readonly Py_ssize_t bytes            # gathered since the turn began
    cdef list touched                 # mailboxes whose record goes into the next write
    cdef list deferred                # called with whether the turn became durable
    cdef Gathered gathered            # messages
    cdef Erased erased                # and those deleted, since the last write; the next turn goes on with it

    cdef Ack* acks
    cdef Py_ssize_t ack_count
    cdef Py_ssize_t ack_room
    cdef char* arena
    cdef Py_ssize_t arena_size
    cdef Py_ssize_t arena_room
    cdef Fresh* fresh
    cdef Py_ssize_t fresh_count
    cdef Py_ssize_t fresh_room
    cdef int fresh_ranks              # the set of ranks in fresh
    cdef set retracted                # (uid, msg_id) of messages in fresh that were deleted again
    cdef readonly list retracting     # (uid, msg_id) that the next write deletes before they are durable
    cdef Gone* gone
    cdef Py_ssize_t gone_count
    cdef Py_ssize_t gone_room
    cdef Mark* marks
    cdef Py_ssize_t mark_count
    cdef Py_ssize_t mark_room

    # How much of the above the store has taken; a batch that fails takes back only what came after.
    cdef Py_ssize_t written_acks
    cdef Py_ssize_t written_fresh
    cdef Py_ssize_t written_gone
    cdef Py_ssize_t written_marks
    cdef Py_ssize_t written_deferred
    cdef readonly bint has_written

    cdef int touch(self, Mailbox mailbox) except -1
    cdef int add_message(
        self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t now_ms, View header, View payload
    ) except -1
    cdef bint add_delete(
        self, Mailbox mailbox, ErasedRow row, int index, uint64_t msg_id, uint64_t size, bint held
    ) except -1
    cdef int add_ack(self, View reply, AckKind kind, uint64_t number, bytes body) except -1
    cdef int retract(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int mark(self, Mailbox mailbox, uint64_t first_id) except -1
    cdef list cut(self)
    cdef void drop_after(
        self, Py_ssize_t acks, Py_ssize_t fresh, Py_ssize_t gone, Py_ssize_t marks
    ) noexcept

    cdef inline View reply_of(self, const Ack* ack) noexcept:
        cdef View v
        v.data = self.arena + ack.reply_start
        v.size = ack.reply_size
        return v
