"""What a batch deletes; see erased.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.record cimport StoredMessage, message_key
from mq9fast._core.run cimport RUN_SPAN, Run, Runs, Spot, all_of, is_message, pack_mark, run_key, unpack_mark


cdef class ErasedRow:
    pass


cdef class Erased:
    """Collects deletions until the batch is written. `store` is asked what was deleted before: it has to know
    everything but this batch."""

    def __cinit__(self):
        self.rows = {}

    cdef ErasedRow row(self, uint64_t uid, int rank, const Spot* spot, object store):
        """The row of a message that is stored. Raises what the store raises."""
        cdef ErasedRow row = self.last
        cdef bytes key, mark
        if row is not None and row.row_id == spot.row_id and row.uid == uid and row.rank == rank:
            return row
        key = message_key(uid, rank, spot.row_id)
        row = self.rows.get(key)
        if row is None:
            row = ErasedRow()
            row.uid = uid
            row.rank = rank
            row.row_id = spot.row_id
            row.count = spot.count
            mark = store.get(key) if spot.count > 1 else None
            if mark is not None:
                unpack_mark(mark, &row.deleted, &row.dead_bytes)
                row.marked = True
            self.rows[key] = row
        self.last = row
        return row

    cdef bint find(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, Spot* spot, StoredMessage* message
    ) except -1:
        """Find a message's row, the message deleted or not; false if there is none. DANGER: `message` points
        into the row, which is kept until the next call of this or of `clear`."""
        cdef int index = -1
        if self.found is not None and self.found_uid == uid and self.found_rank == rank:
            index = self.found.find(msg_id)
        if index < 0:
            self.found = self.look(uid, rank, msg_id, store)
            self.found_uid = uid
            self.found_rank = rank
            index = -1 if self.found is None else self.found.find(msg_id)
        if index < 0:
            return False
        spot[0] = self.found.spot(index)
        self.found.read(index, message)
        return True

    cdef Run look(self, uint64_t uid, int rank, uint64_t msg_id, object store):
        """The row that holds the message if any does: its own, or the first run that ends no earlier."""
        cdef Runs runs
        cdef Run run
        cdef bytes key = message_key(uid, rank, msg_id)
        cdef bytes value = store.get(key)
        if value is not None and is_message(value):
            run = Run()
            run.open(msg_id, True, value)
            return run
        runs = Runs(store.scan(key, message_key(uid, rank, msg_id + RUN_SPAN)), msg_id)
        return runs.run if runs.next_row() else None

    cdef int write(self, object put, object delete) except -1:
        """Put the deletions into a batch, and begin new ones."""
        cdef ErasedRow row
        cdef bytes key
        for key, row in self.rows.items():
            if not row.changed:
                continue
            if row.deleted != all_of(row.count):
                put(key, pack_mark(row.deleted, row.dead_bytes))
                continue
            if row.count == 1 or row.marked:
                delete(key)
            if row.count > 1:
                delete(run_key(row.uid, row.rank, row.row_id))
        self.clear()
        return 0

    cdef void clear(self) noexcept:
        """Forget what was collected and looked up."""
        if self.rows:
            self.rows.clear()
        self.last = None
        self.found = None
