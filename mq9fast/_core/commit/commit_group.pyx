"""A commit group; the contract, and who uses it, is in commit_group.pxd."""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.memory cimport PyMem_Free
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.base.view cimport View, put, view_of
from mq9fast._core.commit.agenda cimport Agenda
from mq9fast._core.commit.batch_deletes cimport BatchDeletes
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.pubsub.client cimport Client
from mq9fast._core.storage.key_row cimport pack_key_row
from mq9fast._core.storage.record cimport NewMessage, mailbox_key
from mq9fast._core.storage.record_batch cimport all_bits
from mq9fast._core.storage.row_format cimport MESSAGE_KEY_BYTES, MESSAGE_OVERHEAD_BYTES

cdef enum:
    RECORD_BYTES = 256        # about the size of a mailbox record with its key


cdef inline PyObject* owned(object thing) noexcept:
    Py_INCREF(thing)
    return <PyObject*>thing


cdef class CommitGroup:
    """Changes that are stored together. `batch` is an empty write batch of the store."""

    def __cinit__(self, batch):
        self.touched = []
        self.deferred = []
        self.composed = []
        self.skipped_pushes = set()
        self.replaced_pushes = set()
        self.replacing = set()
        self.keys = {}
        self.unwritten_skips = []
        self.puts = BatchPuts()
        self.deletes = BatchDeletes()
        self.agenda = Agenda()
        self.set_batch(batch)

    def __dealloc__(self):
        self.drop_items(False)
        PyMem_Free(self.replies.items)
        PyMem_Free(self.live_pushes.items)
        PyMem_Free(self.pending_deletes.items)
        PyMem_Free(self.durable_marks.items)
        PyMem_Free(self.arena)

    cdef void drop_items(self, bint keep_written) noexcept:
        """Drop the items of all sections, or with `keep_written` those that the store has not written."""
        if not keep_written:
            self.reset_written()
        check(
            self.replies.written <= self.replies.count and self.live_pushes.written <= self.live_pushes.count
            and self.pending_deletes.written <= self.pending_deletes.count
            and self.durable_marks.written <= self.durable_marks.count,
            b"written items are a part of a section's items",
        )
        while self.replies.count > self.replies.written:
            self.replies.count -= 1
            Py_XDECREF(self.reply(self.replies.count).body)
            Py_XDECREF(self.reply(self.replies.count).requester)
        while self.live_pushes.count > self.live_pushes.written:
            self.live_pushes.count -= 1
            Py_XDECREF(self.live_push(self.live_pushes.count).mailbox)
        while self.pending_deletes.count > self.pending_deletes.written:
            self.pending_deletes.count -= 1
            Py_XDECREF(self.pending_delete(self.pending_deletes.count).mailbox)
        while self.durable_marks.count > self.durable_marks.written:
            self.durable_marks.count -= 1
            Py_XDECREF(self.durable_mark(self.durable_marks.count).mailbox)

    cdef int touch(self, Mailbox mailbox) except -1:
        """Write the mailbox's record with the next write batch."""
        cdef Py_ssize_t added
        if not mailbox.touched:
            mailbox.touched = True
            self.touched.append(mailbox)
            added = RECORD_BYTES if mailbox.description is None else RECORD_BYTES + len(mailbox.description)
            self.batch_bytes += added
            self.bytes += added
        return 0

    cdef int add_message(self, Mailbox mailbox, const NewMessage* new) except -1:
        cdef Py_ssize_t message = self.puts.add(mailbox, new)
        cdef Py_ssize_t size = MESSAGE_KEY_BYTES + self.puts.messages[message].size
        cdef LivePush* live_push
        self.batch_bytes += size
        self.bytes += size
        self.touch(mailbox)
        if new.composed:
            self.composed.append((mailbox, mailbox.uid, new.msg_id))
        if mailbox.consumers:
            live_push = <LivePush*>section_add(&self.live_pushes, sizeof(LivePush))
            live_push.mailbox = owned(mailbox)
            live_push.message = message
            live_push.uid = mailbox.uid
            live_push.msg_id = new.msg_id
            live_push.rank = new.rank
            self.live_ranks |= 1 << new.rank
        return 0

    cdef bint add_delete(
        self, Mailbox mailbox, RowDeletions row, int index, uint64_t msg_id, uint64_t size, bint in_flight
    ) except -1:
        """Delete a message of a row, with `size` bytes of header and payload. False if it is deleted already.

        `in_flight`: a queue group has the message in flight. `Delivery` then finishes the deletion there.
        """
        cdef PendingDelete* pending_delete
        if not row.add(index):
            return False
        if row.count > 1:
            row.dead_bytes += <uint32_t>(size + MESSAGE_OVERHEAD_BYTES)
            mailbox.dead_bytes += size + MESSAGE_OVERHEAD_BYTES
            if row.deleted == all_bits(row.count):
                mailbox.dead_bytes -= min(<uint64_t>row.dead_bytes, mailbox.dead_bytes)
        self.batch_bytes += MESSAGE_KEY_BYTES
        self.bytes += MESSAGE_KEY_BYTES
        self.touch(mailbox)
        if in_flight:
            pending_delete = <PendingDelete*>section_add(&self.pending_deletes, sizeof(PendingDelete))
            pending_delete.mailbox = owned(mailbox)
            pending_delete.uid = mailbox.uid
            pending_delete.msg_id = msg_id
        return True

    cdef int add_reply(
        self, Client requester, View reply, ReplyKind kind, uint64_t number, bytes body
    ) except -1:
        """Answer a command of `requester` on the subject `reply` when the group is durable; nothing happens
        if the subject is empty."""
        cdef PendingReply* pending_reply
        if reply.size == 0:
            return 0
        self.arena = <char*>with_capacity(self.arena, self.arena_size, &self.arena_capacity, 1, reply.size)
        pending_reply = <PendingReply*>section_add(&self.replies, sizeof(PendingReply))
        pending_reply.requester = owned(requester)
        pending_reply.reply_start = self.arena_size
        pending_reply.reply_size = reply.size
        put(self.arena + self.arena_size, reply)
        self.arena_size += reply.size
        pending_reply.kind = kind
        pending_reply.number = number
        pending_reply.body = NULL if body is None else owned(body)
        self.bytes += reply.size
        return 0

    cdef int skip_push(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Do not push a message that was deleted, if it is one of this group."""
        if self.live_pushes.count:
            self.skipped_pushes.add((mailbox.uid, msg_id))
        return 0

    cdef int skip_push_to_groups(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """Do not push a message that was replaced to queue groups, if it is one of this group. Plain readers
        get it: if messages are replaced faster than they become durable, they would get none."""
        if self.live_pushes.count:
            self.replaced_pushes.add((mailbox.uid, msg_id))
        return 0

    def cancel_skips(self, list messages not None) -> None:
        """Push these messages, as (uid, msg_id), all the same: their deletion has failed."""
        self.skipped_pushes.difference_update(messages)
        self.replaced_pushes.difference_update(messages)

    cpdef void forget_unwritten_skips(self) noexcept:
        """The deletions of skipped messages are written, or have failed."""
        self.unwritten_skips.clear()
        self.skips_wait = False

    cdef int add_durable_mark(self, Mailbox mailbox, uint64_t first_id) except -1:
        cdef DurableMark* mark
        mark = <DurableMark*>section_add(&self.durable_marks, sizeof(DurableMark))
        mark.mailbox = owned(mailbox)
        mark.uid = mailbox.uid
        mark.first_id = first_id
        mark.next_id = mailbox.next_id
        mark.placed = self.placing
        return 0

    cdef int clear(self) except -1:
        """Empty the group for reuse. It keeps its memory."""
        self.drop_items(False)
        self.state = 0
        self.arena_size = 0
        self.live_ranks = 0
        self.skipped_pushes.clear()
        self.replaced_pushes.clear()
        self.replacing.clear()
        self.keys.clear()
        self.forget_unwritten_skips()
        self.bytes = 0
        self.deferred.clear()
        self.composed.clear()
        self.puts.clear()
        self.reset_written()
        return 0

    cdef int set_batch(self, object batch) except -1:
        """Gather into the empty write batch `batch` from now on. The one before was written."""
        self.batch = batch
        self.put = batch.put
        self.delete = batch.delete
        self.batch_bytes = 0
        return 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write and nothing to send."""
        return self.bytes == 0 and not self.deferred

    @property
    def reply_count(self) -> int:
        """How many commands the group answers when it is durable."""
        return self.replies.count

    def take_batch(self, new_batch):
        """Complete the write batch with the records of changed mailboxes and return it; None if it is empty.

        `new_batch()` returns the empty write batch that the group gathers into from then on.
        """
        cdef Mailbox mailbox
        batch = self.batch
        if CHECKED:
            check(self.batch_bytes > 0 or not self.touched, b"the record of a changed mailbox is written")
        if self.batch_bytes == 0:
            # Deletions may have looked up rows without deleting anything.
            self.deletes.write(self.put, self.delete)
            return None
        if self.keys:
            self.put_key_rows()
        self.puts.write(self.put)
        if self.live_pushes.count == 0:
            self.puts.clear()
        self.deletes.write(self.put, self.delete)
        self.agenda.write(self.put)
        for mailbox in self.touched:
            check(mailbox.touched, b"a changed mailbox is in one list, once")
            mailbox.touched = False
            if mailbox.exists:
                if mailbox.ids is not None:
                    self.put_id_rows(mailbox)
                self.put(mailbox_key(mailbox.address), mailbox.pack())
                self.add_durable_mark(mailbox, mailbox.written_id)
        self.touched = []
        self.set_batch(new_batch())
        return batch

    cdef int put_key_rows(self) except -1:
        """Write which messages have the keys that came with messages of this batch."""
        cdef Py_ssize_t index
        for key, owner in self.keys.items():
            if isinstance(owner, tuple):
                self.put(key, pack_key_row(owner[0], owner[1]))
                continue
            index = owner
            self.put(key, pack_key_row(self.puts.rank_of(index), self.puts.messages[index].msg_id))
        self.keys.clear()
        return 0

    cdef int put_id_rows(self, Mailbox mailbox) except -1:
        """Write the Nats-Msg-Ids that came with messages of this batch."""
        for key, value in mailbox.ids.pack_rows(mailbox.renewed_ms):
            self.put(key, value)
            mailbox.has_id_rows = True
        return 0

    def put_raw(self, bytes key not None, bytes value not None) -> None:
        """Write `value` under `key`. The caller accounts for it: no counter of a mailbox changes."""
        self.put(key, value)
        self.batch_bytes += len(key) + len(value)
        self.bytes += len(key) + len(value)

    def delete_raw(self, bytes key not None) -> None:
        """Delete `key`. The caller accounts for it: no counter of a mailbox changes."""
        self.delete(key)
        self.batch_bytes += len(key)
        self.bytes += len(key)

    def delete_range(self, bytes first not None, bytes end not None) -> None:
        """Delete every key from `first` up to, but not including, `end`."""
        self.batch.delete_range(first, end)
        self.batch_bytes += len(first) + len(end)
        self.bytes += len(first) + len(end)

    def touch_mailbox(self, Mailbox mailbox not None) -> None:
        """Write the mailbox's record with the next write batch."""
        self.touch(mailbox)

    def answer(self, Client requester not None, bytes reply not None, bytes body not None) -> None:
        """Answer a command of `requester` with `body`, on the subject `reply`, when the group is durable."""
        self.add_reply(requester, view_of(reply), REPLY_BODY, 0, body)

    def defer(self, call, Py_ssize_t size=0) -> None:
        """Call `call(durable)` when the group is durable or has failed. `size`: its memory until then."""
        self.deferred.append(call)
        self.bytes += size

    def mark_written(self) -> None:
        """Note that the store has written the batch that `take_batch` returned."""
        cdef Py_ssize_t i
        cdef const DurableMark* mark
        cdef Mailbox mailbox
        for i in range(self.durable_marks.written, self.durable_marks.count):
            mark = self.durable_mark(i)
            mailbox = <Mailbox>mark.mailbox
            if mailbox.uid == mark.uid:
                mailbox.written_id = mark.next_id
        self.has_written = True
        self.forget_unwritten_skips()
        self.replies.written = self.replies.count
        self.live_pushes.written = self.live_pushes.count
        self.pending_deletes.written = self.pending_deletes.count
        self.durable_marks.written = self.durable_marks.count
        self.written_deferred = len(self.deferred)

    cpdef void reset_written(self) noexcept:
        """Note that the store has lost the group's earlier writes: the whole group fails."""
        self.has_written = False
        self.replies.written = self.live_pushes.written = 0
        self.pending_deletes.written = self.durable_marks.written = 0
        self.written_deferred = 0

    def ids_not_written(self) -> list:
        """Ranges of ids that the store has not taken: (mailbox, uid, first id, id behind the last). Without
        those of `replacing_mailboxes`."""
        cdef Py_ssize_t i
        cdef DurableMark* mark
        cdef list found = []
        for i in range(self.durable_marks.written, self.durable_marks.count):
            mark = self.durable_mark(i)
            is_kept = mark.placed or mark.uid in self.replacing
            if mark.first_id < mark.next_id and not is_kept:
                found.append((<Mailbox>mark.mailbox, mark.uid, mark.first_id, mark.next_id))
        return found

    def replacing_mailboxes(self) -> list:
        """The mailboxes in which messages that the store has not taken replaced stored ones."""
        cdef Py_ssize_t i
        cdef dict found = {}
        if self.replacing:
            for i in range(self.durable_marks.written, self.durable_marks.count):
                if self.durable_mark(i).uid in self.replacing:
                    found[<Mailbox>self.durable_mark(i).mailbox] = None
        return list(found)

    def mailboxes_not_written(self) -> list:
        """The mailboxes with changes that the store has not written. The group forgets their records."""
        cdef Py_ssize_t i
        cdef Mailbox mailbox
        cdef dict found = {}
        for i in range(self.durable_marks.written, self.durable_marks.count):
            found[<Mailbox>self.durable_mark(i).mailbox] = None
        for mailbox in self.touched:
            check(mailbox.touched, b"a changed mailbox is in one list, once")
            mailbox.touched = False
            found[mailbox] = None
        self.touched = []
        return list(found)

    cdef list drop_unwritten(self):
        """Drop everything that the store has not written. The caller calls the callbacks returned."""
        cdef list deferred = self.deferred[self.written_deferred:]
        del self.deferred[self.written_deferred:]
        self.drop_items(True)
        return deferred
