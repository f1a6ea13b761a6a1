"""The codec of record batches; the contract, and who uses it, is in record_batch.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View, put, to_bytes, view, view_of
from mq9fast._core.storage.expiry_rule cimport ExpiryRule
from mq9fast._core.storage.record cimport StoredMessage, message_key, name_of, put_message_key, unpack_message
from mq9fast._core.storage.row_format cimport (
    BATCH_ENTRY_BYTES, BATCH_FIXED_BYTES, BATCH_KEY_BYTES, BATCH_VERSION, DELETION_BITMAP_BYTES,
    DELETION_BITMAP_VERSION, MAX_BATCH_MESSAGES, MESSAGE_KEY_BYTES, THINNED_BATCH_FIXED_BYTES,
    THINNED_BATCH_VERSION, BatchEntryLayout, BatchKeyLayout, BatchLayout, DeletionBitmapLayout,
    MessageKeyLayout, ThinnedBatchLayout, put_u32, put_u64, read_u32, read_u64
)

from mq9fast._core.storage.record import CorruptRecord


cdef bytes batch_key(uint64_t uid, int rank, uint64_t row_id):
    """The key of a record batch. Its deletion bitmap has the same key without the zero byte, so that a scan
    reads the bitmap first."""
    cdef bytes key = PyBytes_FromStringAndSize(NULL, BATCH_KEY_BYTES)
    cdef BatchKeyLayout* at = <BatchKeyLayout*>PyBytes_AS_STRING(key)
    put_message_key(&at.last_message, uid, rank, row_id)
    at.zero = 0
    return key


cdef bytes row_key(uint64_t uid, int rank, const RecordLocation* location):
    """The key of the row that holds the message."""
    if location.count == 1:
        return message_key(uid, rank, location.row_id)
    return batch_key(uid, rank, location.row_id)


cdef bytes pack_deletion_bitmap(uint64_t deleted, uint32_t dead_bytes):
    """A deletion bitmap. `dead_bytes`: what the deleted messages still take of the batch."""
    cdef bytes value = PyBytes_FromStringAndSize(NULL, DELETION_BITMAP_BYTES)
    cdef DeletionBitmapLayout* at = <DeletionBitmapLayout*>PyBytes_AS_STRING(value)
    at.version = DELETION_BITMAP_VERSION
    memset(at.reserved, 0, sizeof(at.reserved))
    put_u32(at.dead_bytes, dead_bytes)
    put_u64(at.deleted, deleted)
    return value


cdef int unpack_deletion_bitmap(bytes value, uint64_t* deleted, uint32_t* dead_bytes) except -1:
    """Unpack a deletion bitmap; CorruptRecord if the value is not one."""
    cdef const DeletionBitmapLayout* at = <const DeletionBitmapLayout*>PyBytes_AS_STRING(value)
    if PyBytes_GET_SIZE(value) != DELETION_BITMAP_BYTES or at.version != DELETION_BITMAP_VERSION:
        raise CorruptRecord(f"a deletion bitmap of {len(value)} bytes has an unknown format")
    dead_bytes[0] = read_u32(at.dead_bytes)
    deleted[0] = read_u64(at.deleted)
    if deleted[0] == 0:
        raise CorruptRecord("a deletion bitmap is empty")
    return 0


cdef class RecordBatch:

    cdef int open(self, uint64_t row_id, bint is_single, bytes value) except -1:
        """Read a row; `row_id` is the id in its key. CorruptRecord if the row is empty or its lengths are
        wrong."""
        self.count = 0
        self.value = value
        self.row_id = row_id
        self.is_single = is_single
        if is_single:
            if not is_message(value):
                raise CorruptRecord(f"a message of {PyBytes_GET_SIZE(value)} bytes has an unknown format")
            self.present = 1
            self.count = 1
        else:
            self.count = self.check_entries()
        return 0

    cdef int check_entries(self) except -1:
        """Find the entries of a record batch and check their lengths; returns the count of its messages."""
        cdef const BatchLayout* fixed = <const BatchLayout*>PyBytes_AS_STRING(self.value)
        cdef const BatchEntryLayout* entries
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.value)
        cdef Py_ssize_t begin = 0, end = 0
        cdef int count = <int><uint8_t>fixed.count if size >= BATCH_FIXED_BYTES else 0
        cdef int i
        if not 2 <= count <= MAX_BATCH_MESSAGES:
            raise CorruptRecord(f"a record batch of {size} bytes has an unknown format")
        if fixed.version == BATCH_VERSION:
            self.present = all_bits(count)
            self.entries = BATCH_FIXED_BYTES
        elif fixed.version == THINNED_BATCH_VERSION and size >= THINNED_BATCH_FIXED_BYTES:
            self.present = read_u64((<const ThinnedBatchLayout*>fixed).kept)
            self.entries = THINNED_BATCH_FIXED_BYTES
        else:
            raise CorruptRecord(f"a record batch of {size} bytes has an unknown format")
        self.bodies = self.entries + popcount(self.present) * BATCH_ENTRY_BYTES
        if self.present == 0 or self.present & ~all_bits(count) or size < self.bodies:
            raise CorruptRecord(f"a record batch of {size} bytes has an unknown format")
        entries = self.first_entry()
        for i in range(popcount(self.present)):
            end = <Py_ssize_t>read_u32(entries[i].end)
            if end < begin:
                raise CorruptRecord(f"the message ends in a record batch of {size} bytes do not ascend")
            begin = end
        if self.bodies + end != size:
            raise CorruptRecord(f"a record batch of {size} bytes does not have the length in it")
        return count

    cdef uint64_t id_of(self, int index) noexcept:
        """The id of the message with this index, which must be present."""
        if self.is_single:
            return self.row_id
        check(0 <= index < self.count and has_bit(self.present, index), b"a message with an id is present")
        return read_u64(self.first_entry()[self.position_of(index)].msg_id)

    cdef int find(self, uint64_t msg_id) noexcept:
        """The index of the message with this id, or -1 if it is not present."""
        cdef const BatchEntryLayout* entries = self.first_entry()
        cdef int position
        if self.is_single:
            return 0 if self.row_id == msg_id else -1
        for position in range(popcount(self.present)):
            if read_u64(entries[position].msg_id) == msg_id:
                return self.index_of(position)
        return -1

    cdef int index_of(self, int position) noexcept:
        """The index of the present message at this position."""
        cdef int i = 0
        if self.entries == BATCH_FIXED_BYTES:
            return position
        while position or not has_bit(self.present, i):
            position -= has_bit(self.present, i)
            i += 1
        return i

    cdef View stored(self, int index) noexcept:
        """The packed message with this index, which must be present."""
        cdef const BatchEntryLayout* entries = self.first_entry()
        cdef int position = self.position_of(index)
        check(0 <= index < self.count and has_bit(self.present, index), b"a message with an id is present")
        cdef Py_ssize_t begin = 0 if position == 0 else <Py_ssize_t>read_u32(entries[position - 1].end)
        cdef Py_ssize_t end = <Py_ssize_t>read_u32(entries[position].end)
        return view(PyBytes_AS_STRING(self.value) + self.bodies + begin, end - begin)

    cdef int read(self, int index, StoredMessage* message) except -1:
        """Unpack the message with this index. DANGER: `message` points into the row. CorruptRecord if the
        message is not present or its lengths are wrong."""
        if self.is_single:
            return unpack_message(view_of(self.value), message)
        if not has_bit(self.present, index):
            raise CorruptRecord(f"a message is missing from the record batch at {self.row_id}")
        return unpack_message(self.stored(index), message)

    cdef Py_ssize_t size_of(self, uint64_t messages) noexcept:
        """Bytes of the row that the messages in this bitmap take, with their entries. Messages that are not
        present take none."""
        cdef Py_ssize_t size = 0
        cdef int i
        for i in range(self.count):
            if has_bit(self.present & messages, i):
                size += BATCH_ENTRY_BYTES + self.stored(i).size
        return size

    cdef bytes thinned(self, uint64_t deleted):
        """The thinned batch to store in place of this one, without the `deleted` messages. Some are left."""
        cdef uint64_t kept = self.present & ~deleted
        cdef bytes value = PyBytes_FromStringAndSize(NULL, THINNED_BATCH_FIXED_BYTES + self.size_of(kept))
        cdef ThinnedBatchLayout* fixed = <ThinnedBatchLayout*>PyBytes_AS_STRING(value)
        cdef BatchEntryLayout* entry = <BatchEntryLayout*>(fixed + 1)
        cdef char* start = <char*>(entry + popcount(kept))
        cdef char* at = start
        cdef int i
        fixed.version = THINNED_BATCH_VERSION
        fixed.count = <char>self.count
        memset(fixed.reserved, 0, sizeof(fixed.reserved))
        put_u64(fixed.kept, kept)
        for i in range(self.count):
            if has_bit(kept, i):
                at = put(at, self.stored(i))
                put_u64(entry.msg_id, self.id_of(i))
                put_u32(entry.end, <uint32_t>(at - start))
                entry += 1
        return value


cdef class RecordBatchReader:
    """Iterates over the messages in `rows`, the (key, value) of one rank in the order of the keys.

    Gives (msg_id, created_ms, header, payload, name). `name` is the id that clients know. Skips deleted
    messages, ids below `start`, and what has expired by `rule`. CorruptRecord for rows that no version of
    mq9fast can have written.
    """

    def __cinit__(self, rows not None, uint64_t start, ExpiryRule rule=None):
        self.rule = rule
        self.rows = iter(rows)
        self.start = start
        self.batch = RecordBatch()

    cdef bint next_row(self) except -1:
        """Advance to the next row of messages, with its deletion bitmap; false at the end."""
        cdef bytes key, value
        cdef uint64_t row_id, bitmap_id = 0
        cdef uint32_t dead_bytes
        cdef Py_ssize_t size
        self.deleted = 0
        self.index = -1
        self.batch.count = 0
        for key, value in self.rows:
            size = PyBytes_GET_SIZE(key)
            if size != MESSAGE_KEY_BYTES and size != BATCH_KEY_BYTES:
                raise CorruptRecord(f"a key of messages has {size} bytes instead of {MESSAGE_KEY_BYTES}")
            row_id = read_u64((<const MessageKeyLayout*>PyBytes_AS_STRING(key)).msg_id)
            if self.deleted and (size != BATCH_KEY_BYTES or row_id != bitmap_id):
                raise CorruptRecord(f"the deletion bitmap at {bitmap_id} is followed by the row at {row_id}")
            if PyBytes_GET_SIZE(value) and PyBytes_AS_STRING(value)[0] == DELETION_BITMAP_VERSION:
                unpack_deletion_bitmap(value, &self.deleted, &dead_bytes)
                bitmap_id = row_id
                continue
            self.batch.open(row_id, size == MESSAGE_KEY_BYTES, value)
            self.next_entry = self.batch.first_entry()
            self.bodies = PyBytes_AS_STRING(value) + self.batch.bodies
            self.next_body = 0
            return True
        if self.deleted:
            raise CorruptRecord(f"the deletion bitmap at {bitmap_id} has no record batch")
        return False

    cdef bint next_message(self) except -1:
        """Advance to the next message; false at the end."""
        cdef View stored
        while True:
            self.index += 1
            while self.index >= self.batch.count:
                if not self.next_row():
                    return False
                self.index = 0
            if not has_bit(self.batch.present, self.index):
                continue
            stored = self.next_stored()
            if self.msg_id >= self.start and not has_bit(self.deleted, self.index):
                unpack_message(stored, &self.message)
                if self.rule is None or not self.rule.has_expired(&self.message):
                    return True

    cdef inline View next_stored(self) noexcept:
        """The next present message of the row, packed. Sets `msg_id`."""
        cdef const BatchEntryLayout* entry = self.next_entry
        cdef Py_ssize_t begin = self.next_body
        if self.batch.is_single:
            self.msg_id = self.batch.row_id
            return view_of(self.batch.value)
        self.next_entry += 1
        self.next_body = <Py_ssize_t>read_u32(entry.end)
        self.msg_id = read_u64(entry.msg_id)
        return view(self.bodies + begin, self.next_body - begin)

    def __iter__(self):
        return self

    def __next__(self):
        if not self.next_message():
            raise StopIteration
        cdef StoredMessage* message = &self.message
        name = name_of(message, self.msg_id)
        return self.msg_id, message.created_ms, to_bytes(message.header), to_bytes(message.payload), name
