"""Thinning of sparse record batches; the contract, and who uses it, is in thinner.pxd."""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.commit.batch_deletes cimport BatchDeletes
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.mailbox.mailbox cimport Mailbox
from mq9fast._core.mailbox.mailbox_index cimport MailboxIndex
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation, all_bits, batch_key

cdef enum:
    # The cost of examining a rank of a mailbox, and of a scan, in bytes that take as long to read.
    EXAMINE_BYTES = 64
    SCAN_BYTES = 2048


cdef class Thinner:
    """Thins the mailboxes in the thinning queue, a part at a time. One for each broker.

    Deletions in the same commit group stay valid: messages keep their index in a batch, and only messages
    that the deletion bitmap has are dropped.
    """

    def __cinit__(self, MailboxIndex mailbox_index not None, Accumulator accumulator not None):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator

    def step(self, store, Py_ssize_t max_bytes) -> bool:
        """Examine about `max_bytes` of rows; returns whether there are more.

        Raises what the store raises, and CorruptRecord. A mailbox that cannot be read is skipped until more
        of its messages are deleted.
        """
        while max_bytes > 0:
            if self.mailbox is None and not self.next_mailbox():
                return False
            try:
                max_bytes -= self.examine(store, max_bytes)
            except Exception:
                self.mailbox.in_thinning_queue = False
                self.mailbox = None
                raise
        return True

    cdef bint next_mailbox(self):
        """Begin with the next mailbox in the queue that is still sparse. False if there is none."""
        cdef Mailbox mailbox
        while self.mailbox_index.thinning_queue:
            mailbox = self.mailbox_index.thinning_queue.popleft()
            check(mailbox.in_thinning_queue, b"a mailbox in the queue says so")
            if self.mailbox_index.is_visible(mailbox) and (mailbox.dead_bytes_unknown or mailbox.is_sparse()):
                mailbox.dead_bytes_unknown = False
                self.mailbox = mailbox
                self.uid = mailbox.uid
                self.rank = 0
                self.cursor = 0
                self.has_thinned = False
                self.dead_bytes = 0
                self.expected_dead_bytes = mailbox.dead_bytes
                return True
            mailbox.in_thinning_queue = False
        return False

    cdef int finish(self) except -1:
        """All rows of the mailbox are examined. It is queued again if it became sparse in the meantime."""
        cdef Mailbox mailbox = self.mailbox
        cdef uint64_t before = mailbox.dead_bytes
        self.mailbox = None
        mailbox.in_thinning_queue = False
        if not self.has_thinned and mailbox.uid == self.uid and before == self.expected_dead_bytes:
            # The rows have fewer dead bytes than the record says. Correct it, or the mailbox would return.
            mailbox.dead_bytes = min(before, self.dead_bytes)
            self.mailbox_index.dead_bytes_changed(mailbox, before)
        return self.mailbox_index.queue_if_sparse(mailbox)

    cdef Py_ssize_t examine(self, object store, Py_ssize_t max_bytes) except -1:
        """Examine rows of one rank of the mailbox; returns the cost in bytes."""
        cdef Mailbox mailbox = self.mailbox
        cdef Py_ssize_t examined = EXAMINE_BYTES
        cdef RecordBatchReader reader
        if self.rank == RANKS or not self.mailbox_index.is_visible(mailbox) or mailbox.uid != self.uid:
            self.finish()
            return examined
        self.cursor = max(self.cursor, mailbox.head[self.rank])
        if mailbox.count[self.rank]:
            first = message_key(self.uid, self.rank, self.cursor)
            end = message_key(self.uid, self.rank, mailbox.written_id)
            examined += SCAN_BYTES
            reader = RecordBatchReader(store.scan(first, end), 0)
            while reader.next_row():
                if examined > max_bytes:
                    self.cursor = reader.batch.row_id
                    return examined
                examined += PyBytes_GET_SIZE(reader.batch.value)
                if reader.deleted or self.has_pending_deletes(reader.batch.row_id):
                    self.thin(reader, store)
        self.rank += 1
        self.cursor = 0
        return examined

    cdef bint has_pending_deletes(self, uint64_t row_id) except -1:
        """Whether the commit group may delete messages of a row."""
        return message_key(self.uid, self.rank, row_id) in self.accumulator.group.deletes.rows

    cdef int thin(self, RecordBatchReader reader, object store) except -1:
        """Thin the batch if at least a third of its bytes are dead, and correct its count of dead bytes."""
        cdef RecordLocation location = reader.batch.location(0)
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef RowDeletions row = deletes.row(self.uid, self.rank, &location, store)
        cdef uint64_t all_messages = all_bits(row.count)
        cdef Py_ssize_t dead_bytes = reader.batch.size_of(row.deleted)
        if row.deleted == all_messages:
            # The commit group deletes the whole batch.
            return 0
        if dead_bytes and 2 * dead_bytes >= reader.batch.size_of(all_messages & ~row.deleted):
            key = batch_key(self.uid, self.rank, row.row_id)
            self.accumulator.group.put_raw(key, reader.batch.thinned(row.deleted))
            dead_bytes = 0
            self.has_thinned = True
        if row.dead_bytes != <uint32_t>dead_bytes:
            self.set_dead_bytes(row, <uint32_t>dead_bytes)
        self.dead_bytes += row.dead_bytes
        return 0

    cdef int set_dead_bytes(self, RowDeletions row, uint32_t dead_bytes) except -1:
        """Set the dead bytes of the row, and count the change for the mailbox."""
        cdef Mailbox mailbox = self.mailbox
        cdef uint64_t before = mailbox.dead_bytes
        mailbox.dead_bytes -= min(<uint64_t>row.dead_bytes, before)
        mailbox.dead_bytes += dead_bytes
        self.mailbox_index.dead_bytes_changed(mailbox, before)
        self.expected_dead_bytes += mailbox.dead_bytes - before
        row.dead_bytes = dead_bytes
        row.changed = True
        self.accumulator.group.touch(mailbox)
        return 0
