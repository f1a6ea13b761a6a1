"""What a batch deletes; see batch_deletes.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.commit.deleted_row cimport DeletedRow, RowIndex
from mq9fast._core.storage.record cimport StoredMessage, message_key
from mq9fast._core.storage.record_batch cimport (
    BATCH_ID_SPAN, RecordBatch, RecordBatchReader, RecordLocation, all_bits, batch_key, is_message,
    pack_deletion_bitmap, unpack_deletion_bitmap,
)


cdef class BatchDeletes:
    """Collects deletions until the batch is written. `store` is asked what was deleted before: it has to know
    everything but this batch."""

    def __cinit__(self):
        self.rows = {}
        self.index = RowIndex()

    cdef DeletedRow row(self, uint64_t uid, int rank, const RecordLocation* location, object store):
        """The row of a message that is stored. Raises what the store raises."""
        cdef DeletedRow row = self.last
        cdef bytes key
        if row is not None and row.row_id == location.row_id and row.uid == uid and row.rank == rank:
            return row
        row = self.index.get(uid, rank, location.row_id) if location.count > 1 else None
        if row is None:
            key = message_key(uid, rank, location.row_id)
            row = self.rows.get(key)
            if row is None:
                row = self.read_row(key, uid, rank, location, store)
        self.gather(row)
        return row

    cdef int gather(self, DeletedRow row) except -1:
        """The batch may delete messages of the row."""
        self.last = row
        if not row.gathered:
            self.rows[message_key(row.uid, row.rank, row.row_id)] = row
            row.gathered = True
        return 0

    cdef DeletedRow read_row(
        self, bytes key, uint64_t uid, int rank, const RecordLocation* location, object store
    ):
        cdef DeletedRow row = DeletedRow()
        cdef bytes bitmap = None
        row.uid = uid
        row.rank = rank
        row.row_id = location.row_id
        row.count = location.count
        if location.count > 1:
            self.lookups += 1
            bitmap = store.get(key)
        if bitmap is not None:
            unpack_deletion_bitmap(bitmap, &row.deleted, &row.dead_bytes)
            row.has_bitmap = True
        return row

    cdef bint find(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, RecordLocation* location, uint64_t* size
    ) except -1:
        """Find a message, deleted or not: where it lies, and the size of its header and payload; false if
        there is none."""
        cdef DeletedRow row = self.found
        cdef RecordBatch batch
        cdef StoredMessage message
        cdef int index
        if row is None or row.uid != uid or row.rank != rank or not row.clear_from <= msg_id <= row.row_id:
            row = self.found = self.index.at_or_after(uid, rank, msg_id)
        if row is None:
            batch = self.look_up(uid, rank, msg_id, store)
            if batch is None:
                return False
            if batch.is_single:
                if batch.row_id != msg_id:
                    return False
                batch.read(0, &message)
                location[0] = batch.location(0)
                size[0] = <uint64_t>(message.header.size + message.payload.size)
                return True
            row = self.found = self.know(uid, rank, msg_id, batch, store)
        index = row.find(msg_id)
        if index < 0:
            return False
        self.gather(row)
        location[0] = row.location(index)
        size[0] = row.sizes[index]
        return True

    cdef RecordBatch look_up(self, uint64_t uid, int rank, uint64_t msg_id, object store):
        """The row that holds the message if any does: its own, or the first that ends no earlier."""
        cdef RecordBatchReader runs
        cdef RecordBatch batch
        cdef bytes key = message_key(uid, rank, msg_id)
        cdef bytes value
        self.lookups += 1
        value = store.get(key)
        if value is not None and is_message(value):
            batch = RecordBatch()
            batch.open(msg_id, True, value)
            return batch
        runs = RecordBatchReader(store.scan(key, message_key(uid, rank, msg_id + BATCH_ID_SPAN)), msg_id)
        return runs.batch if runs.next_row() else None

    cdef DeletedRow know(self, uint64_t uid, int rank, uint64_t msg_id, RecordBatch batch, object store):
        """The row of a run that was looked up for a message, kept for the next."""
        cdef RecordLocation location = batch.location(0)
        cdef DeletedRow row = self.row(uid, rank, &location, store)
        if not row.known:
            row.know(batch)
        row.clear_from = min(row.clear_from, msg_id)
        self.index.keep(row)
        return row

    cdef int write(self, object put, object delete) except -1:
        """Put the deletions into a batch, and begin new ones."""
        cdef DeletedRow row
        cdef bytes key
        for key, row in self.rows.items():
            row.gathered = False
            if not row.changed:
                continue
            row.changed = False
            if row.deleted != all_bits(row.count):
                put(key, pack_deletion_bitmap(row.deleted, row.dead_bytes))
                row.has_bitmap = True
                continue
            if row.count == 1 or row.has_bitmap:
                delete(key)
            if row.count > 1:
                delete(batch_key(row.uid, row.rank, row.row_id))
                self.index.forget(row)
        self.rows.clear()
        self.last = None
        return 0

    cdef int forget(self) except -1:
        """Look everything up again: the store does not have what was written, or was changed by others."""
        self.found = None
        return self.index.clear()
