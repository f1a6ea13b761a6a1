"""The deletions of a write batch; the contract, and who uses it, is in batch_deletes.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.commit.row_deletions cimport RowDeletions, RowIndex
from mq9fast._core.storage.record cimport StoredMessage, message_key
from mq9fast._core.storage.record_batch cimport (
    RecordBatch, RecordBatchReader, RecordLocation, all_bits, batch_key, has_bit, is_message,
    pack_deletion_bitmap, unpack_deletion_bitmap,
)
from mq9fast._core.storage.row_format cimport BATCH_ID_SPAN, MessageKeyLayout, read_u64
from mq9fast._core.storage.value_format cimport ValuePointer, describes_message, is_value_pointer


cdef inline void set_described(FoundMessage* found, uint64_t row_id, const ValuePointer* pointer) noexcept:
    """A message is found that is a row by itself, with what its pointer tells."""
    found.location.row_id = row_id
    found.location.index = 0
    found.location.count = 1
    found.size = pointer.content
    found.flags = pointer.flags


cdef class BatchDeletes:
    """Collects deletions until the write batch is written. A `store` that is passed to a method must have
    everything except this write batch."""

    def __cinit__(self):
        self.rows = {}
        self.index = RowIndex()

    cdef RowDeletions row(self, uint64_t uid, int rank, const RecordLocation* location, object store):
        """The row of a stored message, as part of the write batch. Raises what the store raises."""
        cdef RowDeletions row = self.last_row
        cdef bytes key
        if row is not None and row.row_id == location.row_id and row.uid == uid and row.rank == rank:
            return row
        row = self.index.get(uid, rank, location.row_id) if location.count > 1 else None
        if row is None:
            key = message_key(uid, rank, location.row_id)
            row = self.rows.get(key)
            if row is None:
                row = self.read_bitmap(key, uid, rank, location, store)
        check(row.count == location.count, b"a row has as many messages as a location in it says")
        self.add_row(row)
        return row

    cdef int add_row(self, RowDeletions row) except -1:
        """Make the row part of the write batch, which may then delete messages of it."""
        self.last_row = row
        if not row.in_batch:
            self.rows[message_key(row.uid, row.rank, row.row_id)] = row
            row.in_batch = True
        return 0

    cdef RowDeletions read_bitmap(
        self, bytes key, uint64_t uid, int rank, const RecordLocation* location, object store
    ):
        cdef RowDeletions row = RowDeletions()
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
        self, uint64_t uid, int rank, uint64_t msg_id, object store, FoundMessage* found
    ) except -1:
        """Find a message by its place, which is set as its name too. False if there is none. A deleted
        message may still be found."""
        cdef RowDeletions row = self.known_row(uid, rank, msg_id)
        cdef RecordBatch batch
        cdef StoredMessage message
        cdef ValuePointer pointer
        cdef uint64_t row_id
        cdef int index
        found.rank = rank
        found.place = found.name = msg_id
        if row is None:
            if self.is_described(uid, rank, msg_id, msg_id + BATCH_ID_SPAN, store, &row_id, &pointer):
                if row_id != msg_id:
                    return False
                set_described(found, msg_id, &pointer)
                return True
            batch = self.read_row_of(uid, rank, msg_id, msg_id + BATCH_ID_SPAN, store)
            if batch is None:
                return False
            if batch.is_single:
                if batch.row_id != msg_id:
                    return False
                batch.read(0, &message)
                found.location = batch.location(0)
                found.size = <uint64_t>(message.header.size + message.payload.size)
                found.flags = message.flags
                return True
            row = self.last_found = self.index_row(uid, rank, msg_id, batch, store)
        index = row.find(msg_id)
        if index < 0:
            return False
        self.add_row(row)
        found.location = row.location(index)
        found.size = row.sizes[index]
        found.flags = row.flags[index]
        return True

    cdef RowDeletions known_row(self, uint64_t uid, int rank, uint64_t msg_id):
        """The only record batch that may have the message, if it was looked up before, or None."""
        cdef RowDeletions row = self.last_found
        if (
            row is None or row.uid != uid or row.rank != rank
            or not row.exclusive_from <= msg_id <= row.row_id
        ):
            row = self.last_found = self.index.at_or_after(uid, rank, msg_id)
        return row

    cdef bint next_live(
        self, uint64_t uid, int rank, uint64_t from_id, uint64_t end_id, object store,
        FoundMessage* found
    ) except -1:
        """Find the first message of a rank that is not deleted, from `from_id` up to but not `end_id`."""
        cdef RowDeletions row
        cdef RecordBatch batch
        cdef StoredMessage message
        cdef ValuePointer pointer
        cdef uint64_t row_id
        cdef int index
        found.rank = rank
        while from_id < end_id:
            row = self.known_row(uid, rank, from_id)
            if row is None:
                if self.is_described(uid, rank, from_id, end_id, store, &row_id, &pointer):
                    from_id = row_id + 1
                    if self.single_deleted(uid, rank, row_id):
                        continue
                    found.place = found.name = row_id
                    set_described(found, row_id, &pointer)
                    return True
                batch = self.read_row_of(uid, rank, from_id, end_id, store)
                if batch is None:
                    return False
                if batch.is_single:
                    from_id = batch.row_id + 1
                    if self.single_deleted(uid, rank, batch.row_id):
                        continue
                    batch.read(0, &message)
                    found.location = batch.location(0)
                    found.place = found.name = batch.row_id
                    found.size = <uint64_t>(message.header.size + message.payload.size)
                    found.flags = message.flags
                    return True
                row = self.last_found = self.index_row(uid, rank, from_id, batch, store)
            index = row.next_live(from_id)
            if index >= 0:
                self.add_row(row)
                found.location = row.location(index)
                found.place = found.name = row.row_id - row.distances[index]
                found.size = row.sizes[index]
                found.flags = row.flags[index]
                return True
            from_id = row.row_id + 1
        return False

    cdef bint find_live(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, FoundMessage* found
    ) except -1:
        """As `find`, but false for a deleted message too."""
        if not self.find(uid, rank, msg_id, store, found):
            return False
        return not self.is_deleted(uid, rank, &found.location, store)

    cdef bint is_deleted(
        self, uint64_t uid, int rank, const RecordLocation* location, object store
    ) except -1:
        """Whether the store or the write batch has the message as deleted."""
        return has_bit(self.row(uid, rank, location, store).deleted, location.index)

    cdef bint single_deleted(self, uint64_t uid, int rank, uint64_t msg_id) except -1:
        """Whether the write batch deletes a message that is a row by itself."""
        cdef RowDeletions row = self.rows.get(message_key(uid, rank, msg_id))
        return row is not None and row.deleted != 0

    cdef bint is_described(
        self, uint64_t uid, int rank, uint64_t from_id, uint64_t end_id, object store,
        uint64_t* row_id, ValuePointer* pointer
    ) except -1:
        """Whether the first row from `from_id` up to but not `end_id` is a single message, and a pointer that
        tells its size and flags: it need not be read then. Sets `row_id` to its id."""
        cdef bytes key = message_key(uid, rank, from_id)
        cdef bytes value
        self.lookups += 1
        value = self.last_stored = store.get_stored(key)
        if value is None:
            key, value = next(store.scan_stored(key, message_key(uid, rank, end_id)), (key, None))
        row_id[0] = read_u64((<const MessageKeyLayout*>PyBytes_AS_STRING(key)).msg_id)
        return describes_message(value, pointer)

    cdef RecordBatch read_row_of(
        self, uint64_t uid, int rank, uint64_t msg_id, uint64_t end_id, object store
    ):
        """The row that has the message, or the next row that begins before `end_id`; or None. `is_described`
        was called before."""
        cdef RecordBatchReader reader
        cdef RecordBatch batch
        cdef bytes key = message_key(uid, rank, msg_id)
        cdef bytes value = self.last_stored
        self.last_stored = None
        if value is not None and is_value_pointer(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
            # An earlier build wrote it.
            value = store.get(key)
        if value is not None and is_message(value):
            batch = RecordBatch()
            batch.open(msg_id, True, value)
            return batch
        reader = RecordBatchReader(store.scan(key, message_key(uid, rank, end_id)), msg_id)
        return reader.batch if reader.next_row() else None

    cdef RowDeletions index_row(
        self, uint64_t uid, int rank, uint64_t msg_id, RecordBatch batch, object store
    ):
        """Put a record batch that was looked up for `msg_id` into the index, for the next look-ups."""
        cdef RecordLocation location = batch.location(0)
        cdef RowDeletions row = self.row(uid, rank, &location, store)
        if not row.loaded:
            row.load_messages(batch)
        row.exclusive_from = min(row.exclusive_from, msg_id)
        self.index.insert(row)
        return row

    cdef int write(self, object put, object delete) except -1:
        """Add the deletions to the store's write batch, by its methods `put` and `delete`, and start anew."""
        cdef RowDeletions row
        cdef bytes key
        for key, row in self.rows.items():
            row.in_batch = False
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
                self.index.discard(row)
        self.rows.clear()
        self.last_row = None
        return 0

    cdef int forget_rows(self) except -1:
        """Empty the index: a write has failed, or other code has changed rows of the store."""
        self.last_found = None
        return self.index.clear()
