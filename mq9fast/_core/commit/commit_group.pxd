"""What one turn gathered for the mailboxes: a write batch, and what leaves once that batch is durable."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.base.view cimport View
from mq9fast._core.commit.batch_deletes cimport BatchDeletes
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.commit.deleted_row cimport DeletedRow
from mq9fast._core.mailbox.mailbox cimport Mailbox


cdef enum ReplyKind:
    REPLY_MSG_ID            # {"msg_id": number}
    REPLY_DELETED
    REPLY_NOT_DELETED
    REPLY_BODY              # body as it is


cdef struct PendingReply:
    Py_ssize_t reply_start    # in CommitGroup.arena
    Py_ssize_t reply_size
    ReplyKind kind
    uint64_t number
    PyObject* body            # owned bytes, or NULL


cdef struct LivePush:
    # A message for those who read along live.
    PyObject* mailbox         # owned
    Py_ssize_t message        # index in what was gathered
    uint64_t uid
    uint64_t msg_id
    int rank


cdef struct PendingDelete:
    # A deleted message that queue groups may hold.
    PyObject* mailbox         # owned
    uint64_t uid
    uint64_t msg_id


cdef struct DurableMark:
    # How far a mailbox is durable once this turn is, and the first id that its batch gave.
    PyObject* mailbox         # owned
    uint64_t uid
    uint64_t first_id
    uint64_t next_id


cdef struct Section:
    # An array of one of the structs above. A batch that fails takes back only the items from `written` on.
    void* items
    Py_ssize_t count
    Py_ssize_t capacity
    Py_ssize_t written        # items that belong to batches which the store has taken


cdef inline void* section_add(Section* section, size_t item_bytes) except NULL:
    """A new last item, not filled yet. DANGER: it moves when the next one is added."""
    section.items = with_capacity(section.items, section.count, &section.capacity, item_bytes)
    section.count += 1
    return <char*>section.items + <size_t>(section.count - 1) * item_bytes


cdef class CommitGroup:
    cdef readonly object batch  # the store's: put(key, value), delete(key), delete_range(first, end)
    cdef object put
    cdef object delete
    cdef readonly Py_ssize_t batch_bytes  # gathered since the last write
    cdef readonly Py_ssize_t bytes        # gathered since the turn began
    cdef list touched                     # mailboxes whose record goes into the next write
    cdef list deferred                    # called with whether the turn became durable
    cdef BatchPuts puts                   # messages
    cdef BatchDeletes deletes  # and those deleted, since the last write; the next turn goes on with it

    cdef Section replies              # PendingReply
    cdef Section live_pushes          # LivePush
    cdef Section pending_deletes      # PendingDelete
    cdef Section durable_marks        # DurableMark
    cdef Py_ssize_t written_deferred
    cdef char* arena                  # the subjects of replies
    cdef Py_ssize_t arena_size
    cdef Py_ssize_t arena_capacity
    cdef int live_ranks               # the set of ranks in live_pushes
    cdef set retracted                # (uid, msg_id) of live pushes whose message was deleted again
    cdef readonly list retracting     # (uid, msg_id) that the next write deletes before they are durable
    cdef readonly bint has_written    # the store took a part of it
    cdef public int state             # of the commit pipeline, which alone changes it

    cdef int touch(self, Mailbox mailbox) except -1
    cdef int add_message(
        self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t now_ms, View header, View payload
    ) except -1
    cdef bint add_delete(
        self, Mailbox mailbox, DeletedRow row, int index, uint64_t msg_id, uint64_t size, bint in_flight
    ) except -1
    cdef int add_reply(self, View reply, ReplyKind kind, uint64_t number, bytes body) except -1
    cdef int retract(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int add_durable_mark(self, Mailbox mailbox, uint64_t first_id) except -1
    cdef list cut(self)
    cpdef void not_written(self) noexcept
    cdef void truncate(self, bint keep_written) noexcept

    cdef inline PendingReply* reply(self, Py_ssize_t i) noexcept:
        return &(<PendingReply*>self.replies.items)[i]

    cdef inline LivePush* live_push(self, Py_ssize_t i) noexcept:
        return &(<LivePush*>self.live_pushes.items)[i]

    cdef inline PendingDelete* pending_delete(self, Py_ssize_t i) noexcept:
        return &(<PendingDelete*>self.pending_deletes.items)[i]

    cdef inline DurableMark* durable_mark(self, Py_ssize_t i) noexcept:
        return &(<DurableMark*>self.durable_marks.items)[i]

    cdef inline View reply_subject(self, const PendingReply* pending_reply) noexcept:
        cdef View v
        v.data = self.arena + pending_reply.reply_start
        v.size = pending_reply.reply_size
        return v
