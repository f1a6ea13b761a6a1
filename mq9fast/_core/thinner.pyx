"""Thinning of runs; see thinner.pxd."""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.commit.batch_deletes cimport BatchDeletes
from mq9fast._core.commit.row_deletions cimport RowDeletions
from mq9fast._core.mailbox.mailbox cimport MailboxIndex, Mailbox
from mq9fast._core.commit.accumulator cimport Accumulator
from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.record_batch cimport RecordBatchReader, RecordLocation, all_bits, batch_key

cdef enum:
    # What a look at a mailbox costs, and beginning to read it, in bytes that could be read instead.
    CLOCK_CHECK_BYTES = 64
    SCAN_BYTES = 2048


cdef class Thinner:
    """Goes through the mailboxes that the directory found sparse, a share at a time.

    Its writes go into the intake's turn. A deletion that the same turn gathers stays right: messages keep
    their index in a run, and a run drops only what is marked as deleted.
    """

    def __cinit__(self, MailboxIndex mailbox_index not None, Accumulator accumulator not None):
        self.mailbox_index = mailbox_index
        self.accumulator = accumulator

    def step(self, store, Py_ssize_t max_bytes) -> bool:
        """Look at about `max_bytes` of rows; whether there are more. Raises what the store raises, and
        CorruptRecord; a mailbox that cannot be read is left as it is until more of it is deleted."""
        while max_bytes > 0:
            if self.mailbox is None and not self.take_next():
                return False
            try:
                max_bytes -= self.examine(store, max_bytes)
            except Exception:
                self.mailbox.in_thinning_queue = False
                self.mailbox = None
                raise
        return True

    cdef bint take_next(self):
        """Go to the next mailbox that is still sparse."""
        cdef Mailbox mailbox
        while self.mailbox_index.thinning_queue:
            mailbox = self.mailbox_index.thinning_queue.popleft()
            if self.mailbox_index.is_visible(mailbox) and (mailbox.dead_bytes_unknown or mailbox.is_sparse()):
                mailbox.dead_bytes_unknown = False
                self.mailbox = mailbox
                self.uid = mailbox.uid
                self.rank = 0
                self.cursor = 0
                self.found = False
                self.dead_bytes = 0
                self.counted_bytes = mailbox.dead_bytes
                return True
            mailbox.in_thinning_queue = False
        return False

    cdef int finish(self) except -1:
        """All of the mailbox was looked at. It comes again if it became sparse meanwhile."""
        cdef Mailbox mailbox = self.mailbox
        cdef uint64_t before = mailbox.dead_bytes
        self.mailbox = None
        mailbox.in_thinning_queue = False
        if not self.found and mailbox.uid == self.uid and before == self.counted_bytes:
            # What was counted cannot be found: looking again would not help.
            mailbox.dead_bytes = min(before, self.dead_bytes)
            self.mailbox_index.dead_bytes_changed(mailbox, before)
        return self.mailbox_index.queue_if_sparse(mailbox)

    cdef Py_ssize_t examine(self, object store, Py_ssize_t max_bytes) except -1:
        """Look at rows of one rank of the mailbox; returns how many bytes that was, or what costs as much."""
        cdef Mailbox mailbox = self.mailbox
        cdef Py_ssize_t looked = CLOCK_CHECK_BYTES
        cdef RecordBatchReader reader
        if self.rank == RANKS or not self.mailbox_index.is_visible(mailbox) or mailbox.uid != self.uid:
            self.finish()
            return looked
        self.cursor = max(self.cursor, mailbox.head[self.rank])
        if mailbox.count[self.rank]:
            first = message_key(self.uid, self.rank, self.cursor)
            end = message_key(self.uid, self.rank, mailbox.written_id)
            looked += SCAN_BYTES
            reader = RecordBatchReader(store.scan(first, end), 0)
            while reader.next_row():
                if looked > max_bytes:
                    self.cursor = reader.batch.row_id
                    return looked
                looked += PyBytes_GET_SIZE(reader.batch.value)
                if reader.deleted or self.loses_in_group(reader.batch.row_id):
                    self.thin(reader, store)
        self.rank += 1
        self.cursor = 0
        return looked

    cdef bint loses_in_group(self, uint64_t row_id) except -1:
        """Whether the turn deletes anything of a row."""
        return message_key(self.uid, self.rank, row_id) in self.accumulator.group.deletes.rows

    cdef int thin(self, RecordBatchReader reader, object store) except -1:
        """Thin the run if what is deleted takes a third of it or more, and set right how much that takes."""
        cdef RecordLocation location = reader.batch.location(0)
        cdef BatchDeletes deletes = self.accumulator.group.deletes
        cdef RowDeletions row = deletes.row(self.uid, self.rank, &location, store)
        cdef uint64_t all = all_bits(row.count)
        cdef Py_ssize_t dead_bytes = reader.batch.size_of(row.deleted)
        if row.deleted == all:
            # The turn deletes the run itself.
            return 0
        if dead_bytes and 2 * dead_bytes >= reader.batch.size_of(all & ~row.deleted):
            key = batch_key(self.uid, self.rank, row.row_id)
            self.accumulator.group.put_raw(key, reader.batch.thinned(row.deleted))
            dead_bytes = 0
            self.found = True
        if row.dead_bytes != <uint32_t>dead_bytes:
            self.recount(row, <uint32_t>dead_bytes)
        self.dead_bytes += row.dead_bytes
        return 0

    cdef int recount(self, RowDeletions row, uint32_t dead_bytes) except -1:
        """What is deleted takes so many bytes of the row."""
        cdef Mailbox mailbox = self.mailbox
        cdef uint64_t before = mailbox.dead_bytes
        mailbox.dead_bytes -= min(<uint64_t>row.dead_bytes, before)
        mailbox.dead_bytes += dead_bytes
        self.mailbox_index.dead_bytes_changed(mailbox, before)
        self.counted_bytes += mailbox.dead_bytes - before
        row.dead_bytes = dead_bytes
        row.changed = True
        self.accumulator.group.touch(mailbox)
        return 0
