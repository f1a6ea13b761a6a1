"""Runs of messages in the store; see record_batch.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from mq9fast._core.base.view cimport View, put, to_bytes, view, view_of
from mq9fast._core.storage.record cimport (
    MESSAGE_KEY_BYTES, StoredMessage, message_key, put_u32, put_u64, read_u32, read_u64, unpack_message
)

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    BATCH_KEY_BYTES = MESSAGE_KEY_BYTES + 1


cdef bytes batch_key(uint64_t uid, int rank, uint64_t row_id):
    """The key of a run. Its mark's, which is its last message's own, comes right before it in a scan."""
    return message_key(uid, rank, row_id) + b"\0"


cdef bytes row_key(uint64_t uid, int rank, const RecordLocation* location):
    """The key of the row in which a message lies."""
    if location.count == 1:
        return message_key(uid, rank, location.row_id)
    return batch_key(uid, rank, location.row_id)


cdef bytes pack_deletion_bitmap(uint64_t deleted, uint32_t dead_bytes):
    """The mark of a run of which the messages in the set are deleted, and still take so many bytes of it."""
    cdef bytes value = PyBytes_FromStringAndSize(NULL, DELETION_BITMAP_BYTES)
    cdef char* at = PyBytes_AS_STRING(value)
    put_u32(put_u32(at, 0), dead_bytes)
    at[0] = DELETION_BITMAP_VERSION
    put_u64(at + 8, deleted)
    return value


cdef int unpack_deletion_bitmap(bytes value, uint64_t* deleted, uint32_t* dead_bytes) except -1:
    """Read a mark; CorruptRecord if it is none."""
    cdef const char* data = PyBytes_AS_STRING(value)
    if PyBytes_GET_SIZE(value) != DELETION_BITMAP_BYTES or data[0] != DELETION_BITMAP_VERSION:
        raise CorruptRecord(f"a mark of {len(value)} bytes has no known format")
    dead_bytes[0] = read_u32(PyBytes_AS_STRING(value) + 4)
    deleted[0] = read_u64(PyBytes_AS_STRING(value) + 8)
    if deleted[0] == 0:
        raise CorruptRecord("a mark has nothing deleted")
    return 0


cdef class RecordBatch:

    cdef int open(self, uint64_t row_id, bint alone, bytes value) except -1:
        """Look at a row of `row_id`; CorruptRecord if its lengths do not fit, or it is empty."""
        self.count = 0
        self.value = value
        self.row_id = row_id
        self.alone = alone
        if alone:
            if not is_message(value):
                raise CorruptRecord(f"a stored value of {PyBytes_GET_SIZE(value)} bytes has no known format")
            self.kept = 1
            self.count = 1
        else:
            self.count = self.check_entries()
        return 0

    cdef int check_entries(self) except -1:
        """Find the entries of a run; returns the count of its messages."""
        cdef const char* at = PyBytes_AS_STRING(self.value)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.value)
        cdef Py_ssize_t begin = 0, end = 0
        cdef int count = <int><uint8_t>at[1] if size >= BATCH_FIXED_BYTES else 0
        cdef int i
        if not 2 <= count <= MAX_BATCH_MESSAGES:
            raise CorruptRecord(f"a stored run of {size} bytes has no known format")
        if at[0] == BATCH_VERSION:
            self.kept = all_of(count)
            self.entries = BATCH_FIXED_BYTES
        elif at[0] == THINNED_BATCH_VERSION and size >= THINNED_BATCH_FIXED_BYTES:
            self.kept = read_u64(at + BATCH_FIXED_BYTES)
            self.entries = THINNED_BATCH_FIXED_BYTES
        else:
            raise CorruptRecord(f"a stored run of {size} bytes has no known format")
        self.bodies = self.entries + popcount(self.kept) * BATCH_ENTRY_BYTES
        if self.kept == 0 or self.kept & ~all_of(count) or size < self.bodies:
            raise CorruptRecord(f"a stored run of {size} bytes has no known format")
        for i in range(popcount(self.kept)):
            end = <Py_ssize_t>read_u32(at + self.entries + i * BATCH_ENTRY_BYTES + 8)
            if end < begin:
                raise CorruptRecord(f"the ends of messages in a stored run of {size} bytes go back")
            begin = end
        if self.bodies + end != size:
            raise CorruptRecord(f"a stored run of {size} bytes is not as long as it says")
        return count

    cdef uint64_t id_of(self, int index) noexcept:
        """The id of a message that it holds."""
        if self.alone:
            return self.row_id
        cdef const char* entries = PyBytes_AS_STRING(self.value) + self.entries
        return read_u64(entries + self.place_of(index) * BATCH_ENTRY_BYTES)

    cdef int find(self, uint64_t msg_id) noexcept:
        """The index of a message, or -1 if it does not hold it."""
        cdef const char* entry = PyBytes_AS_STRING(self.value) + self.entries
        cdef int place
        if self.alone:
            return 0 if self.row_id == msg_id else -1
        for place in range(popcount(self.kept)):
            if read_u64(entry + place * BATCH_ENTRY_BYTES) == msg_id:
                return self.index_of(place)
        return -1

    cdef int index_of(self, int place) noexcept:
        """The index of one of the messages that it still holds, counted from the first of them."""
        cdef int i = 0
        if self.entries == BATCH_FIXED_BYTES:
            return place
        while place or not has(self.kept, i):
            place -= has(self.kept, i)
            i += 1
        return i

    cdef View stored(self, int index) noexcept:
        """A message that it holds, as it is stored."""
        cdef const char* at = PyBytes_AS_STRING(self.value)
        cdef int place = self.place_of(index)
        cdef const char* entry = at + self.entries + place * BATCH_ENTRY_BYTES
        cdef Py_ssize_t begin = 0 if place == 0 else <Py_ssize_t>read_u32(entry - 4)
        return view(at + self.bodies + begin, <Py_ssize_t>read_u32(entry + 8) - begin)

    cdef int read(self, int index, StoredMessage* message) except -1:
        """Point `message` into the row; CorruptRecord if it is none."""
        if self.alone:
            return unpack_message(view_of(self.value), message)
        if not has(self.kept, index):
            raise CorruptRecord(f"a message was dropped from the run at {self.row_id}")
        return unpack_message(self.stored(index), message)

    cdef Py_ssize_t size_of(self, uint64_t messages) noexcept:
        """What the messages in the set take of the row, those that it does not hold nothing."""
        cdef Py_ssize_t size = 0
        cdef int i
        for i in range(self.count):
            if has(self.kept & messages, i):
                size += BATCH_ENTRY_BYTES + self.stored(i).size
        return size

    cdef bytes thinned(self, uint64_t deleted):
        """What to store instead of a run once the messages in the set, not all of it, are deleted."""
        cdef uint64_t kept = self.kept & ~deleted
        cdef bytes value = PyBytes_FromStringAndSize(NULL, THINNED_BATCH_FIXED_BYTES + self.size_of(kept))
        cdef char* entry = PyBytes_AS_STRING(value)
        cdef char* start = entry + THINNED_BATCH_FIXED_BYTES + popcount(kept) * BATCH_ENTRY_BYTES
        cdef char* at = start
        cdef int i
        memset(entry, 0, BATCH_FIXED_BYTES)
        entry[0] = THINNED_BATCH_VERSION
        entry[1] = <char>self.count
        entry = put_u64(entry + BATCH_FIXED_BYTES, kept)
        for i in range(self.count):
            if has(kept, i):
                at = put(at, self.stored(i))
                entry = put_u32(put_u64(entry, self.id_of(i)), <uint32_t>(at - start))
        return value


cdef class RecordBatchReader:
    """Iterates over `rows`, which are (key, value) of one rank, as (msg_id, created_ms, header, payload).

    What is deleted is passed over, and so are ids below `start`. CorruptRecord for what cannot have been
    written.
    """

    def __cinit__(self, rows not None, uint64_t start):
        self.rows = iter(rows)
        self.start = start
        self.batch = RecordBatch()

    cdef bint next_row(self) except -1:
        """Go to the next run and what is deleted of it; false if there is none."""
        cdef bytes key, value
        cdef uint64_t row_id, has_bitmap = 0
        cdef uint32_t dead_bytes
        cdef Py_ssize_t size
        self.deleted = 0
        self.index = -1
        self.batch.count = 0
        for key, value in self.rows:
            size = PyBytes_GET_SIZE(key)
            if size != MESSAGE_KEY_BYTES and size != BATCH_KEY_BYTES:
                raise CorruptRecord(f"a message key has {MESSAGE_KEY_BYTES} bytes, not {size}")
            row_id = read_u64(PyBytes_AS_STRING(key) + MESSAGE_KEY_BYTES - 8)
            if self.deleted and (size != BATCH_KEY_BYTES or row_id != has_bitmap):
                raise CorruptRecord(f"a mark at {has_bitmap} stands before {row_id}")
            if PyBytes_GET_SIZE(value) and PyBytes_AS_STRING(value)[0] == DELETION_BITMAP_VERSION:
                unpack_deletion_bitmap(value, &self.deleted, &dead_bytes)
                has_bitmap = row_id
                continue
            self.batch.open(row_id, size == MESSAGE_KEY_BYTES, value)
            self.entry = PyBytes_AS_STRING(value) + self.batch.entries
            self.body = PyBytes_AS_STRING(value) + self.batch.bodies
            self.begin = 0
            return True
        if self.deleted:
            raise CorruptRecord(f"a mark at {has_bitmap} stands before nothing")
        return False

    cdef bint next_message(self) except -1:
        """Go to the next message; false if there is none."""
        cdef View stored
        while True:
            self.index += 1
            while self.index >= self.batch.count:
                if not self.next_row():
                    return False
                self.index = 0
            if not has(self.batch.kept, self.index):
                continue
            stored = self.next_stored()
            if self.msg_id >= self.start and not has(self.deleted, self.index):
                unpack_message(stored, &self.message)
                return True

    cdef inline View next_stored(self) noexcept:
        """The next message that the row still holds, as it is stored, with its id in `msg_id`."""
        cdef const char* entry = self.entry
        cdef Py_ssize_t begin = self.begin
        if self.batch.alone:
            self.msg_id = self.batch.row_id
            return view_of(self.batch.value)
        self.entry += BATCH_ENTRY_BYTES
        self.begin = <Py_ssize_t>read_u32(entry + 8)
        self.msg_id = read_u64(entry)
        return view(self.body + begin, self.begin - begin)

    def __iter__(self):
        return self

    def __next__(self):
        if not self.next_message():
            raise StopIteration
        cdef StoredMessage* message = &self.message
        return self.msg_id, message.created_ms, to_bytes(message.header), to_bytes(message.payload)
