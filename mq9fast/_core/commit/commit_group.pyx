"""What one turn gathered for the mailboxes; see commit_group.pxd."""

from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.memory cimport PyMem_Free
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.base.view cimport View, put, view_of
from mq9fast._core.commit.batch_deletes cimport BatchDeletes
from mq9fast._core.commit.batch_puts cimport BatchPuts
from mq9fast._core.commit.deleted_row cimport DeletedRow
from mq9fast._core.mailbox.mailbox cimport MESSAGE_OVERHEAD_BYTES, Mailbox
from mq9fast._core.storage.record cimport MESSAGE_FIXED_BYTES, MESSAGE_KEY_BYTES
from mq9fast._core.storage.record_batch cimport all_bits

cdef enum:
    RECORD_BYTES = 256        # about what a mailbox's record adds to a batch


cdef inline PyObject* owned(object thing) noexcept:
    Py_INCREF(thing)
    return <PyObject*>thing


cdef class CommitGroup:
    """One turn's work on the store. `batch` is an empty one of the store's."""

    def __cinit__(self, batch):
        self.touched = []
        self.deferred = []
        self.retracted = set()
        self.retracting = []
        self.puts = BatchPuts()
        self.deletes = BatchDeletes()
        self.renew(batch)

    def __dealloc__(self):
        self.truncate(False)
        PyMem_Free(self.replies.items)
        PyMem_Free(self.live_pushes.items)
        PyMem_Free(self.pending_deletes.items)
        PyMem_Free(self.durable_marks.items)
        PyMem_Free(self.arena)

    cdef void truncate(self, bint keep_written) noexcept:
        """Drop the items that the store has not taken, or all of them."""
        if not keep_written:
            self.not_written()
        while self.replies.count > self.replies.written:
            self.replies.count -= 1
            Py_XDECREF(self.reply(self.replies.count).body)
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
        """Have the mailbox's record written with this batch."""
        cdef Py_ssize_t added
        if not mailbox.touched:
            mailbox.touched = True
            self.touched.append(mailbox)
            added = RECORD_BYTES if mailbox.description is None else RECORD_BYTES + len(mailbox.description)
            self.batch_bytes += added
            self.bytes += added
        return 0

    cdef int add_message(
        self, Mailbox mailbox, int rank, uint64_t msg_id, uint64_t now_ms, View header, View payload
    ) except -1:
        cdef Py_ssize_t message = self.puts.add(mailbox, rank, msg_id, now_ms, header, payload)
        cdef Py_ssize_t added = MESSAGE_KEY_BYTES + MESSAGE_FIXED_BYTES + header.size + payload.size
        cdef LivePush* live_push
        self.batch_bytes += added
        self.bytes += added
        self.touch(mailbox)
        if mailbox.consumers:
            live_push = <LivePush*>section_add(&self.live_pushes, sizeof(LivePush))
            live_push.mailbox = owned(mailbox)
            live_push.message = message
            live_push.uid = mailbox.uid
            live_push.msg_id = msg_id
            live_push.rank = rank
            self.live_ranks |= 1 << rank
        return 0

    cdef bint add_delete(
        self, Mailbox mailbox, DeletedRow row, int index, uint64_t msg_id, uint64_t size, bint in_flight
    ) except -1:
        """Delete a stored message of a row, with `size` bytes of header and payload; false if it is deleted
        already. `in_flight`: a queue group holds it and has to hear how the batch went."""
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

    cdef int add_reply(self, View reply, ReplyKind kind, uint64_t number, bytes body) except -1:
        """Answer on `reply`, unless that is empty, once the turn is durable."""
        cdef PendingReply* pending_reply
        if reply.size == 0:
            return 0
        self.arena = <char*>with_capacity(self.arena, self.arena_size, &self.arena_capacity, 1, reply.size)
        pending_reply = <PendingReply*>section_add(&self.replies, sizeof(PendingReply))
        pending_reply.reply_start = self.arena_size
        pending_reply.reply_size = reply.size
        put(self.arena + self.arena_size, reply)
        self.arena_size += reply.size
        pending_reply.kind = kind
        pending_reply.number = number
        pending_reply.body = NULL if body is None else owned(body)
        self.bytes += reply.size
        return 0

    cdef int retract(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """A message that may be of this turn was deleted: nobody is to read it live."""
        if self.live_pushes.count:
            self.retracted.add((mailbox.uid, msg_id))
        return 0

    def read_again(self, list messages not None) -> None:
        """These, (uid, msg_id), are not deleted after all: whoever reads along live gets them."""
        self.retracted.difference_update(messages)

    cdef int add_durable_mark(self, Mailbox mailbox, uint64_t first_id) except -1:
        cdef DurableMark* mark
        mark = <DurableMark*>section_add(&self.durable_marks, sizeof(DurableMark))
        mark.mailbox = owned(mailbox)
        mark.uid = mailbox.uid
        mark.first_id = first_id
        mark.next_id = mailbox.next_id
        return 0

    def clear(self) -> None:
        """Empty the group, but keep its memory: `renew` uses it again."""
        self.truncate(False)
        self.state = 0
        self.arena_size = 0
        self.live_ranks = 0
        self.retracted.clear()
        self.retracting.clear()
        self.bytes = 0
        self.deferred.clear()
        self.puts.clear()
        self.not_written()

    def renew(self, batch not None) -> None:
        """Gather into `batch` from here on; the one before was written."""
        self.batch = batch
        self.put = batch.put
        self.delete = batch.delete
        self.batch_bytes = 0

    @property
    def empty(self) -> bool:
        """Nothing to write and nobody to answer."""
        return self.bytes == 0 and not self.deferred

    def take_batch(self, key_of_mailbox, new_batch):
        """Finish the batch with the records of the mailboxes it touches, and return it, or None for nothing.

        `key_of_mailbox(address)` gives a record's key; `new_batch()` an empty batch for what comes next.
        """
        cdef Mailbox mailbox
        cdef uint64_t first_id
        batch = self.batch
        if self.batch_bytes == 0:
            # Rows were looked up at most.
            self.deletes.write(self.put, self.delete)
            return None
        self.puts.write(self.put)
        if self.live_pushes.count == 0:
            self.puts.clear()
        self.deletes.write(self.put, self.delete)
        for mailbox in self.touched:
            mailbox.touched = False
            if mailbox.live:
                self.put(key_of_mailbox(mailbox.address), mailbox.pack())
                first_id, mailbox.written_id = mailbox.written_id, mailbox.next_id
                self.add_durable_mark(mailbox, first_id)
        self.touched = []
        self.renew(new_batch())
        return batch

    def put_raw(self, bytes key not None, bytes value not None) -> None:
        """Have `value` written under `key`, which is no message's."""
        self.put(key, value)
        self.batch_bytes += len(key) + len(value)
        self.bytes += len(key) + len(value)

    def delete_raw(self, bytes key not None) -> None:
        """Have `key` deleted, which is no message's that anybody still counts."""
        self.delete(key)
        self.batch_bytes += len(key)
        self.bytes += len(key)

    def delete_range(self, bytes first not None, bytes end not None) -> None:
        """Have every key from `first` up to but not `end` deleted."""
        self.batch.delete_range(first, end)
        self.batch_bytes += len(first) + len(end)
        self.bytes += len(first) + len(end)

    def touch_mailbox(self, Mailbox mailbox not None) -> None:
        """Have the mailbox's record written."""
        self.touch(mailbox)

    def answer(self, bytes reply not None, bytes body not None) -> None:
        """Publish `body` on `reply` once the turn is durable."""
        self.add_reply(view_of(reply), REPLY_BODY, 0, body)

    def defer(self, call, Py_ssize_t size=0) -> None:
        """Call `call(durable)` once the turn is durable, or has failed. `size`: bytes it takes till then."""
        self.deferred.append(call)
        self.bytes += size

    def written(self) -> None:
        """The store took the batch that `take_batch` gave."""
        self.has_written = True
        self.retracting.clear()
        self.replies.written = self.replies.count
        self.live_pushes.written = self.live_pushes.count
        self.pending_deletes.written = self.pending_deletes.count
        self.durable_marks.written = self.durable_marks.count
        self.written_deferred = len(self.deferred)

    cpdef void not_written(self) noexcept:
        """What the store took is lost after all: the whole group fails."""
        self.has_written = False
        self.replies.written = self.live_pushes.written = 0
        self.pending_deletes.written = self.durable_marks.written = 0
        self.written_deferred = 0

    def ids_not_written(self) -> list:
        """The ids of messages that the store did not take: (mailbox, uid, first id, first id behind them)."""
        cdef Py_ssize_t i
        cdef DurableMark* mark
        cdef list found = []
        for i in range(self.durable_marks.written, self.durable_marks.count):
            mark = self.durable_mark(i)
            if mark.first_id < mark.next_id:
                found.append((<Mailbox>mark.mailbox, mark.uid, mark.first_id, mark.next_id))
        return found

    def mailboxes_not_written(self) -> list:
        """Every mailbox of the batch that the store did not take."""
        cdef Py_ssize_t i
        cdef Mailbox mailbox
        cdef dict found = {}
        for i in range(self.durable_marks.written, self.durable_marks.count):
            found[<Mailbox>self.durable_mark(i).mailbox] = None
        for mailbox in self.touched:
            mailbox.touched = False
            found[mailbox] = None
        self.touched = []
        return list(found)

    cdef list cut(self):
        """Forget what the store did not take; returns what was deferred of it, to be called."""
        cdef list deferred = self.deferred[self.written_deferred:]
        del self.deferred[self.written_deferred:]
        self.truncate(True)
        return deferred
