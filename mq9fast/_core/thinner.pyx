"""Thinning of runs; see thinner.pxd."""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.commit.deleted_row cimport ErasedRow
from mq9fast._core.mailbox.mailbox cimport Directory, Mailbox
from mq9fast._core.mailbox_writer cimport Intake
from mq9fast._core.protocol.address cimport RANKS
from mq9fast._core.storage.record cimport message_key
from mq9fast._core.storage.record_batch cimport Runs, Spot, all_of, run_key

cdef enum:
    # What a look at a mailbox costs, and beginning to read it, in bytes that could be read instead.
    LOOK_BYTES = 64
    SCAN_BYTES = 2048


cdef class Thinner:
    """Goes through the mailboxes that the directory found sparse, a share at a time.

    Its writes go into the intake's turn. A deletion that the same turn gathers stays right: messages keep
    their index in a run, and a run drops only what is marked as deleted.
    """

    def __cinit__(self, Directory directory not None, Intake intake not None):
        self.directory = directory
        self.intake = intake

    def step(self, store, Py_ssize_t most_bytes) -> bool:
        """Look at about `most_bytes` of rows; whether there are more. Raises what the store raises, and
        CorruptRecord; a mailbox that cannot be read is left as it is until more of it is deleted."""
        while most_bytes > 0:
            if self.mailbox is None and not self.take_next():
                return False
            try:
                most_bytes -= self.look(store, most_bytes)
            except Exception:
                self.mailbox.sparse = False
                self.mailbox = None
                raise
        return True

    cdef bint take_next(self):
        """Go to the next mailbox that is still sparse."""
        cdef Mailbox mailbox
        while self.directory.sparse:
            mailbox = self.directory.sparse.popleft()
            if self.directory.sees(mailbox) and (mailbox.suspect or mailbox.is_sparse()):
                mailbox.suspect = False
                self.mailbox = mailbox
                self.uid = mailbox.uid
                self.rank = 0
                self.place = 0
                self.found = False
                self.dead_bytes = 0
                self.counted_bytes = mailbox.dead_bytes
                return True
            mailbox.sparse = False
        return False

    cdef int finish(self) except -1:
        """All of the mailbox was looked at. It comes again if it became sparse meanwhile."""
        cdef Mailbox mailbox = self.mailbox
        cdef uint64_t before = mailbox.dead_bytes
        self.mailbox = None
        mailbox.sparse = False
        if not self.found and mailbox.uid == self.uid and before == self.counted_bytes:
            # What was counted cannot be found: looking again would not help.
            mailbox.dead_bytes = min(before, self.dead_bytes)
            self.directory.dead_changed(mailbox, before)
        return self.directory.note_sparse(mailbox)

    cdef Py_ssize_t look(self, object store, Py_ssize_t most_bytes) except -1:
        """Look at rows of one rank of the mailbox; returns how many bytes that was, or what costs as much."""
        cdef Mailbox mailbox = self.mailbox
        cdef Py_ssize_t looked = LOOK_BYTES
        cdef Runs runs
        if self.rank == RANKS or not self.directory.sees(mailbox) or mailbox.uid != self.uid:
            self.finish()
            return looked
        self.place = max(self.place, mailbox.head[self.rank])
        if mailbox.count[self.rank]:
            first = message_key(self.uid, self.rank, self.place)
            end = message_key(self.uid, self.rank, mailbox.written_id)
            looked += SCAN_BYTES
            runs = Runs(store.scan(first, end), 0)
            while runs.next_row():
                if looked > most_bytes:
                    self.place = runs.run.row_id
                    return looked
                looked += PyBytes_GET_SIZE(runs.run.value)
                if runs.deleted or self.loses_in_turn(runs.run.row_id):
                    self.thin(runs, store)
        self.rank += 1
        self.place = 0
        return looked

    cdef bint loses_in_turn(self, uint64_t row_id) except -1:
        """Whether the turn deletes anything of a row."""
        return message_key(self.uid, self.rank, row_id) in self.intake.turn.erased.rows

    cdef int thin(self, Runs runs, object store) except -1:
        """Thin the run if what is deleted takes a third of it or more, and set right how much that takes."""
        cdef Spot spot = runs.run.spot(0)
        cdef ErasedRow row = self.intake.turn.erased.row(self.uid, self.rank, &spot, store)
        cdef uint64_t all = all_of(row.count)
        cdef Py_ssize_t dead_bytes = runs.run.size_of(row.deleted)
        if row.deleted == all:
            # The turn deletes the run itself.
            return 0
        if dead_bytes and 2 * dead_bytes >= runs.run.size_of(all & ~row.deleted):
            key = run_key(self.uid, self.rank, row.row_id)
            self.intake.turn.put_raw(key, runs.run.thinned(row.deleted))
            dead_bytes = 0
            self.found = True
        if row.dead_bytes != <uint32_t>dead_bytes:
            self.recount(row, <uint32_t>dead_bytes)
        self.dead_bytes += row.dead_bytes
        return 0

    cdef int recount(self, ErasedRow row, uint32_t dead_bytes) except -1:
        """What is deleted takes so many bytes of the row."""
        cdef Mailbox mailbox = self.mailbox
        cdef uint64_t before = mailbox.dead_bytes
        mailbox.dead_bytes -= min(<uint64_t>row.dead_bytes, before)
        mailbox.dead_bytes += dead_bytes
        self.directory.dead_changed(mailbox, before)
        self.counted_bytes += mailbox.dead_bytes - before
        row.dead_bytes = dead_bytes
        row.changed = True
        self.intake.turn.touch(mailbox)
        return 0
