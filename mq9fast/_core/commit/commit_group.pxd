"""A commit group: changes to mailboxes that are stored together, and answered when they are durable.

It gathers a write batch of the store, and what follows when it is durable: replies, live pushes, and the end
of deletions in queue groups. Commands add to the group of the `Accumulator`. The commit pipeline writes the
batch and changes the group's state; `Delivery` sends the replies and messages.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.base.view cimport View
from mq9fast._core.commit.agenda cimport Agenda
from mq9fast._core.commit.batch_deletes cimport BatchDeletes
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.pubsub.client cimport Client
from mq9fast._core.storage.record cimport NewMessage


cdef enum ReplyKind:
    REPLY_MSG_ID            # {"msg_id": number}
    REPLY_DUPLICATE         # {"msg_id": number, "duplicate": true}
    REPLY_DELETED
    REPLY_NOT_DELETED
    REPLY_BODY              # `body`, unchanged


cdef struct PendingReply:
    # A reply to a command.
    PyObject* requester       # the client that sent the command, an owned reference: it may leave before
    Py_ssize_t reply_start    # offset of the reply subject in CommitGroup.arena
    Py_ssize_t reply_size     # of the reply subject
    ReplyKind kind
    uint64_t number           # the id, for REPLY_MSG_ID and REPLY_DUPLICATE
    PyObject* body            # for REPLY_BODY: bytes, an owned reference; else NULL


cdef struct LivePush:
    # A message for consumers that are caught up.
    PyObject* mailbox         # owned reference
    Py_ssize_t message        # index in BatchPuts.messages
    uint64_t uid
    uint64_t msg_id
    int rank


cdef struct PendingDelete:
    # A deletion of a message that is in flight in a queue group.
    PyObject* mailbox         # owned reference
    uint64_t uid
    uint64_t msg_id


cdef struct DurableMark:
    # The ids of a mailbox that become durable with one write batch.
    PyObject* mailbox         # owned reference
    uint64_t uid
    uint64_t first_id
    uint64_t next_id          # the id behind the last
    bint placed               # they are places of messages that clients sent before: none may be lost


cdef struct Section:
    # An array of one of the structs above. If a write fails, only the items from `written` on are dropped.
    void* items
    Py_ssize_t count
    Py_ssize_t capacity
    Py_ssize_t written        # count of items whose write batch the store has written


cdef inline void* section_add(Section* section, size_t item_bytes) except NULL:
    """Append an item without a value. DANGER: the pointer is valid until the next item is appended."""
    section.items = with_capacity(section.items, section.count, &section.capacity, item_bytes)
    section.count += 1
    check(section.written < section.count <= section.capacity, b"a new item is not written yet")
    return <char*>section.items + <size_t>(section.count - 1) * item_bytes


cdef class CommitGroup:
    cdef object batch                     # a write batch of the store: put, delete and delete_range
    cdef object put                       # its bound methods
    cdef object delete
    cdef readonly Py_ssize_t batch_bytes  # gathered since the last write
    cdef Py_ssize_t bytes                 # gathered since the group began
    cdef list touched                     # mailboxes whose records are part of the next write
    cdef list deferred                    # callbacks, called with whether the group is durable
    # (mailbox, uid, msg_id) of messages that the broker composed: answers. Each is in one write batch with
    # the deletion of another message. If the fsync fails, that may be stored, so these are not taken back.
    cdef readonly list composed
    cdef BatchPuts puts                   # messages that are added
    cdef BatchDeletes deletes             # messages that are deleted; the next group uses the same object
    cdef Agenda agenda                    # what is due when; the next group uses the same object

    cdef Section replies              # PendingReply
    cdef Section live_pushes          # LivePush
    cdef Section pending_deletes      # PendingDelete
    cdef Section durable_marks        # DurableMark
    cdef Py_ssize_t written_deferred  # `Section.written` of the list `deferred`
    cdef char* arena                  # the subjects of replies, one after the other
    cdef Py_ssize_t arena_size
    cdef Py_ssize_t arena_capacity
    cdef bint placing                 # the write batch gives delayed messages their places, and nothing else
    cdef int live_ranks               # the set of ranks in live_pushes
    # (uid, msg_id) of live pushes to skip, because the message was deleted; of those that only queue groups
    # skip, because another message replaced it; and of those whose deletion is not written yet.
    cdef set skipped_pushes
    cdef set replaced_pushes
    cdef readonly list unwritten_skips
    cdef readonly bint skips_wait     # they have to be written before the group before is released
    # The keys of messages of the write batch: key of their row -> index in puts, or (kind, msg_id) of a
    # delayed message.
    cdef dict keys
    cdef set replacing                # uids of mailboxes in which messages of this group replaced stored ones
    cdef readonly bint has_written    # the store has written a part of the group
    cdef public int state             # a GroupState; only the commit pipeline and `clear` change it

    cdef int clear(self) except -1
    cdef int set_batch(self, object batch) except -1
    cdef int touch(self, Mailbox mailbox) except -1
    cdef int add_message(self, Mailbox mailbox, const NewMessage* new) except -1
    cdef int put_key_rows(self) except -1
    cdef int put_id_rows(self, Mailbox mailbox) except -1
    cdef bint add_delete(
        self, Mailbox mailbox, RowDeletions row, int index, uint64_t msg_id, uint64_t size, bint in_flight
    ) except -1
    cdef int add_reply(
        self, Client requester, View reply, ReplyKind kind, uint64_t number, bytes body
    ) except -1
    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1
    cdef int skip_push_to_groups(self, Mailbox mailbox, uint64_t msg_id) except -1
    cpdef void forget_unwritten_skips(self) noexcept
    cdef int add_durable_mark(self, Mailbox mailbox, uint64_t first_id) except -1
    cdef list drop_unwritten(self)
    cpdef void reset_written(self) noexcept
    cdef void drop_items(self, bint keep_written) noexcept

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
        check(pending_reply.reply_start + v.size <= self.arena_size, b"a subject is in the arena")
        return v
