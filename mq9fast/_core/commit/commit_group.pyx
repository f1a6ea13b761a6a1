"""What one turn gathered for the mailboxes; see commit_group.pxd."""

from cpython.mem cimport PyMem_Free
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.vector cimport with_room
from mq9fast._core.base.view cimport View, put, view_of
from mq9fast._core.commit.batch_deletes cimport Erased
from mq9fast._core.commit.batch_puts cimport Gathered
from mq9fast._core.commit.deleted_row cimport ErasedRow
from mq9fast._core.mailbox.mailbox cimport IN_RUN_BYTES, Mailbox
from mq9fast._core.storage.record cimport MESSAGE_FIXED_BYTES, MESSAGE_KEY_BYTES
from mq9fast._core.storage.record_batch cimport all_of

cdef enum:
    RECORD_BYTES = 256        # about what a mailbox's record adds to a batch


cdef inline PyObject* owned(object thing) noexcept:
    Py_INCREF(thing)
    return <PyObject*>thing


cdef class Turn:
    """One turn's work on the store. `batch` is an empty one of the store's."""

    def __cinit__(self, batch):
        self.touched = []
        self.deferred = []
        self.retracted = set()
        self.retracting = []
        self.gathered = Gathered()
        self.erased = Erased()
        self.renew(batch)

    def __dealloc__(self):
        self.drop_after(0, 0, 0, 0)
        PyMem_Free(self.acks)
        PyMem_Free(self.arena)
        PyMem_Free(self.fresh)
        PyMem_Free(self.gone)
        PyMem_Free(self.marks)

    cdef void drop_after(
        self, Py_ssize_t acks, Py_ssize_t fresh, Py_ssize_t gone, Py_ssize_t marks
    ) noexcept:
        """Keep only the first so many of each."""
        while self.ack_count > acks:
            self.ack_count -= 1
            Py_XDECREF(self.acks[self.ack_count].body)
        while self.fresh_count > fresh:
            self.fresh_count -= 1
            Py_XDECREF(self.fresh[self.fresh_count].mailbox)
        while self.gone_count > gone:
            self.gone_count -= 1
            Py_XDECREF(self.gone[self.gone_count].mailbox)
        while self.mark_count > marks:
            self.mark_count -= 1
            Py_XDECREF(self.marks[self.mark_count].mailbox)

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
        cdef Py_ssize_t message = self.gathered.add(mailbox, rank, msg_id, now_ms, header, payload)
        cdef Py_ssize_t added = MESSAGE_KEY_BYTES + MESSAGE_FIXED_BYTES + header.size + payload.size
        cdef Fresh* fresh
        self.batch_bytes += added
        self.bytes += added
        self.touch(mailbox)
        if mailbox.sources:
            self.fresh = <Fresh*>with_room(self.fresh, self.fresh_count, &self.fresh_room, sizeof(Fresh))
            fresh = &self.fresh[self.fresh_count]
            fresh.mailbox = owned(mailbox)
            fresh.message = message
            fresh.uid = mailbox.uid
            fresh.msg_id = msg_id
            fresh.rank = rank
            self.fresh_ranks |= 1 << rank
            self.fresh_count += 1
        return 0

    cdef bint add_delete(
        self, Mailbox mailbox, ErasedRow row, int index, uint64_t msg_id, uint64_t size, bint held
    ) except -1:
        """Delete a stored message of a row, with `size` bytes of header and payload; false if it is deleted
        already. `held`: a queue group holds it and has to hear how the batch went."""
        cdef Gone* gone
        if not row.add(index):
            return False
        if row.count > 1:
            row.dead_bytes += <uint32_t>(size + IN_RUN_BYTES)
            mailbox.dead_bytes += size + IN_RUN_BYTES
            if row.deleted == all_of(row.count):
                mailbox.dead_bytes -= min(<uint64_t>row.dead_bytes, mailbox.dead_bytes)
        self.batch_bytes += MESSAGE_KEY_BYTES
        self.bytes += MESSAGE_KEY_BYTES
        self.touch(mailbox)
        if held:
            self.gone = <Gone*>with_room(self.gone, self.gone_count, &self.gone_room, sizeof(Gone))
            gone = &self.gone[self.gone_count]
            gone.mailbox = owned(mailbox)
            gone.uid = mailbox.uid
            gone.msg_id = msg_id
            self.gone_count += 1
        return True

    cdef int add_ack(self, View reply, AckKind kind, uint64_t number, bytes body) except -1:
        """Answer on `reply`, unless that is empty, once the turn is durable."""
        cdef Ack* ack
        if reply.size == 0:
            return 0
        self.acks = <Ack*>with_room(self.acks, self.ack_count, &self.ack_room, sizeof(Ack))
        self.arena = <char*>with_room(self.arena, self.arena_size, &self.arena_room, 1, reply.size)
        ack = &self.acks[self.ack_count]
        ack.reply_start = self.arena_size
        ack.reply_size = reply.size
        put(self.arena + self.arena_size, reply)
        self.arena_size += reply.size
        ack.kind = kind
        ack.number = number
        ack.body = NULL if body is None else owned(body)
        self.ack_count += 1
        self.bytes += reply.size
        return 0

    cdef int retract(self, Mailbox mailbox, uint64_t msg_id) except -1:
        """A message that may be of this turn was deleted: nobody is to read it live."""
        if self.fresh_count:
            self.retracted.add((mailbox.uid, msg_id))
        return 0

    def read_again(self, list messages not None) -> None:
        """These, (uid, msg_id), are not deleted after all: whoever reads along live gets them."""
        self.retracted.difference_update(messages)

    cdef int mark(self, Mailbox mailbox, uint64_t first_id) except -1:
        cdef Mark* mark
        self.marks = <Mark*>with_room(self.marks, self.mark_count, &self.mark_room, sizeof(Mark))
        mark = &self.marks[self.mark_count]
        mark.mailbox = owned(mailbox)
        mark.uid = mailbox.uid
        mark.first_id = first_id
        mark.next_id = mailbox.next_id
        self.mark_count += 1
        return 0

    def clear(self) -> None:
        """Forget everything, but keep the room: the turn is over, and to be used for another, by `renew`."""
        self.drop_after(0, 0, 0, 0)
        self.arena_size = 0
        self.fresh_ranks = 0
        self.retracted.clear()
        self.retracting.clear()
        self.bytes = 0
        self.deferred.clear()
        self.gathered.clear()
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
            self.erased.write(self.put, self.delete)
            return None
        self.gathered.write(self.put)
        if self.fresh_count == 0:
            self.gathered.clear()
        self.erased.write(self.put, self.delete)
        for mailbox in self.touched:
            mailbox.touched = False
            if mailbox.live:
                self.put(key_of_mailbox(mailbox.address), mailbox.pack())
                first_id, mailbox.written_id = mailbox.written_id, mailbox.next_id
                self.mark(mailbox, first_id)
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
        self.add_ack(view_of(reply), ACK_BODY, 0, body)

    def defer(self, call, Py_ssize_t size=0) -> None:
        """Call `call(durable)` once the turn is durable, or has failed. `size`: bytes it takes till then."""
        self.deferred.append(call)
        self.bytes += size

    def written(self) -> None:
        """The store took the batch that `take_batch` gave."""
        self.has_written = True
        self.retracting.clear()
        self.written_acks = self.ack_count
        self.written_fresh = self.fresh_count
        self.written_gone = self.gone_count
        self.written_marks = self.mark_count
        self.written_deferred = len(self.deferred)

    def not_written(self) -> None:
        """What the store took is lost after all: the turn fails from its beginning."""
        self.has_written = False
        self.written_acks = self.written_fresh = self.written_gone = self.written_marks = 0
        self.written_deferred = 0

    def ids_not_written(self) -> list:
        """The ids of messages that the store did not take: (mailbox, uid, first id, first id behind them)."""
        cdef Py_ssize_t i
        cdef Mark* mark
        cdef list found = []
        for i in range(self.written_marks, self.mark_count):
            mark = &self.marks[i]
            if mark.first_id < mark.next_id:
                found.append((<Mailbox>mark.mailbox, mark.uid, mark.first_id, mark.next_id))
        return found

    def mailboxes_not_written(self) -> list:
        """Every mailbox of the batch that the store did not take."""
        cdef Py_ssize_t i
        cdef Mailbox mailbox
        cdef dict found = {}
        for i in range(self.written_marks, self.mark_count):
            found[<Mailbox>self.marks[i].mailbox] = None
        for mailbox in self.touched:
            mailbox.touched = False
            found[mailbox] = None
        self.touched = []
        return list(found)

    cdef list cut(self):
        """Forget what the store did not take; returns what was deferred of it, to be called."""
        cdef list deferred = self.deferred[self.written_deferred:]
        del self.deferred[self.written_deferred:]
        self.drop_after(self.written_acks, self.written_fresh, self.written_gone, self.written_marks)
        return deferred
