"""What a batch deletes; see batch_deletes.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.deleted_row cimport ErasedRow, RowIndex
from mq9fast._core.storage.record cimport StoredMessage, message_key
from mq9fast._core.storage.record_batch cimport (
    RUN_SPAN, Run, Runs, Spot, all_of, is_message, pack_mark, run_key, unpack_mark,
)


cdef class Erased:
    """Collects deletions until the batch is written. `store` is asked what was deleted before: it has to know
    everything but this batch."""

    def __cinit__(self):
        self.rows = {}
        self.index = RowIndex()

    cdef ErasedRow row(self, uint64_t uid, int rank, const Spot* spot, object store):
        """The row of a message that is stored. Raises what the store raises."""
        cdef ErasedRow row = self.last
        cdef bytes key
        if row is not None and row.row_id == spot.row_id and row.uid == uid and row.rank == rank:
            return row
        row = self.index.get(uid, rank, spot.row_id) if spot.count > 1 else None
        if row is None:
            key = message_key(uid, rank, spot.row_id)
            row = self.rows.get(key)
            if row is None:
                row = self.read_row(key, uid, rank, spot, store)
        self.gather(row)
        return row

    cdef int gather(self, ErasedRow row) except -1:
        """The batch may delete messages of the row."""
        self.last = row
        if not row.gathered:
            self.rows[message_key(row.uid, row.rank, row.row_id)] = row
            row.gathered = True
        return 0

    cdef ErasedRow read_row(self, bytes key, uint64_t uid, int rank, const Spot* spot, object store):
        cdef ErasedRow row = ErasedRow()
        cdef bytes mark = None
        row.uid = uid
        row.rank = rank
        row.row_id = spot.row_id
        row.count = spot.count
        if spot.count > 1:
            self.looks += 1
            mark = store.get(key)
        if mark is not None:
            unpack_mark(mark, &row.deleted, &row.dead_bytes)
            row.marked = True
        return row

    cdef bint find(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, Spot* spot, uint64_t* size
    ) except -1:
        """Find a message, deleted or not: where it lies, and the size of its header and payload; false if
        there is none."""
        cdef ErasedRow row = self.found
        cdef Run run
        cdef StoredMessage message
        cdef int index
        if row is None or row.uid != uid or row.rank != rank or not row.clear_from <= msg_id <= row.row_id:
            row = self.found = self.index.at_or_after(uid, rank, msg_id)
        if row is None:
            run = self.look(uid, rank, msg_id, store)
            if run is None:
                return False
            if run.alone:
                if run.row_id != msg_id:
                    return False
                run.read(0, &message)
                spot[0] = run.spot(0)
                size[0] = <uint64_t>(message.header.size + message.payload.size)
                return True
            row = self.found = self.know(uid, rank, msg_id, run, store)
        index = row.find(msg_id)
        if index < 0:
            return False
        self.gather(row)
        spot[0] = row.spot(index)
        size[0] = row.sizes[index]
        return True

    cdef Run look(self, uint64_t uid, int rank, uint64_t msg_id, object store):
        """The row that holds the message if any does: its own, or the first that ends no earlier."""
        cdef Runs runs
        cdef Run run
        cdef bytes key = message_key(uid, rank, msg_id)
        cdef bytes value
        self.looks += 1
        value = store.get(key)
        if value is not None and is_message(value):
            run = Run()
            run.open(msg_id, True, value)
            return run
        runs = Runs(store.scan(key, message_key(uid, rank, msg_id + RUN_SPAN)), msg_id)
        return runs.run if runs.next_row() else None

    cdef ErasedRow know(self, uint64_t uid, int rank, uint64_t msg_id, Run run, object store):
        """The row of a run that was looked up for a message, kept for the next."""
        cdef Spot spot = run.spot(0)
        cdef ErasedRow row = self.row(uid, rank, &spot, store)
        if not row.known:
            row.know(run)
        row.clear_from = min(row.clear_from, msg_id)
        self.index.keep(row)
        return row

    cdef int write(self, object put, object delete) except -1:
        """Put the deletions into a batch, and begin new ones."""
        cdef ErasedRow row
        cdef bytes key
        for key, row in self.rows.items():
            row.gathered = False
            if not row.changed:
                continue
            row.changed = False
            if row.deleted != all_of(row.count):
                put(key, pack_mark(row.deleted, row.dead_bytes))
                row.marked = True
                continue
            if row.count == 1 or row.marked:
                delete(key)
            if row.count > 1:
                delete(run_key(row.uid, row.rank, row.row_id))
                self.index.forget(row)
        self.rows.clear()
        self.last = None
        return 0

    cdef int forget(self) except -1:
        """Look everything up again: the store does not have what was written, or was changed by others."""
        self.found = None
        return self.index.clear()
