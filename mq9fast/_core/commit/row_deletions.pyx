"""The deleted messages of rows, and an index of rows; the contract is in row_deletions.pxd."""

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.memory cimport PyMem_Free, PyMem_Malloc
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport RecordBatch, has_bit
from mq9fast._core.storage.row_format cimport BATCH_ID_SPAN

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    ROW_BYTES = 192           # memory of a RowDeletions object
    MESSAGE_BYTES = 7         # memory for each of its messages


cdef class RowDeletions:

    def __dealloc__(self):
        PyMem_Free(self.distances)
        PyMem_Free(self.sizes)
        PyMem_Free(self.flags)

    cdef int load_messages(self, RecordBatch batch) except -1:
        """Load the ids and sizes of the messages; CorruptRecord if the batch does not fit this row."""
        cdef StoredMessage message
        cdef uint64_t msg_id
        cdef uint16_t distance = BATCH_ID_SPAN
        cdef int i
        if self.distances is NULL:
            self.distances = <uint16_t*>PyMem_Malloc(<size_t>self.count * sizeof(uint16_t))
        if self.sizes is NULL:
            self.sizes = <uint32_t*>PyMem_Malloc(<size_t>self.count * sizeof(uint32_t))
        if self.flags is NULL:
            self.flags = <uint8_t*>PyMem_Malloc(<size_t>self.count)
        if self.distances is NULL or self.sizes is NULL or self.flags is NULL:
            raise MemoryError
        if batch.count != self.count:
            raise CorruptRecord(f"a record batch of {self.count} messages has {batch.count}")
        self.exclusive_from = self.row_id
        for i in range(self.count):
            self.sizes[i] = self.flags[i] = 0
            if has_bit(batch.present, i):
                msg_id = batch.id_of(i)
                if msg_id > self.row_id or self.row_id - msg_id >= BATCH_ID_SPAN:
                    raise CorruptRecord(f"the record batch at {self.row_id} has the message {msg_id}")
                distance = <uint16_t>(self.row_id - msg_id)
                self.exclusive_from = min(self.exclusive_from, msg_id)
                if not has_bit(self.deleted, i):
                    batch.read(i, &message)
                    self.sizes[i] = <uint32_t>(message.header.size + message.payload.size)
                    self.flags[i] = message.flags
            # A thinned batch has lost ids. Their indexes get the id before, and `find` finds that one first.
            self.distances[i] = distance
        self.loaded = True
        return 0

    cdef int find(self, uint64_t msg_id) noexcept:
        """The index of the message with this id, or -1."""
        cdef int index = self.first_from(msg_id)
        return index if index < self.count and self.distances[index] == self.row_id - msg_id else -1

    cdef int next_live(self, uint64_t msg_id) noexcept:
        """The index of the first message with this id or a larger one that is not deleted, or -1."""
        cdef int index = self.first_from(msg_id) if msg_id <= self.row_id else self.count
        while index < self.count and has_bit(self.deleted, index):
            index += 1
        return index if index < self.count else -1

    cdef int first_from(self, uint64_t msg_id) noexcept:
        """The index of the first message with this id or a larger one. `msg_id`: up to `row_id`."""
        cdef int low = 0
        cdef int high = self.count
        cdef int middle
        cdef uint64_t wanted = self.row_id - msg_id
        check(self.loaded, b"the ids of a row are loaded before one is looked for")
        while low < high:
            middle = (low + high) // 2
            if self.distances[middle] > wanted:
                low = middle + 1
            else:
                high = middle
        return low


cdef bint is_before(PyObject* a, PyObject* b) noexcept:
    cdef RowDeletions one = <RowDeletions>a
    cdef RowDeletions other = <RowDeletions>b
    return one.uid < other.uid or (
        one.uid == other.uid
        and (one.rank < other.rank or one.rank == other.rank and one.row_id < other.row_id)
    )


cdef void check_neighbours(RowIndex index, Py_ssize_t position) noexcept:
    check(
        (position == 0 or is_before(index.rows[position - 1], index.rows[position]))
        and (position + 1 == index.count or is_before(index.rows[position], index.rows[position + 1])),
        b"the rows of an index are in order",
    )


cdef class RowIndex:

    def __cinit__(self):
        self.random_state = 1
        self.max_bytes = MAX_ROW_INDEX_BYTES

    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.rows)

    cdef Py_ssize_t find_position(self, uint64_t uid, int rank, uint64_t msg_id) noexcept:
        """The position of the first row whose id is not smaller, or where such a row would be inserted."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.count
        cdef Py_ssize_t middle
        cdef RowDeletions row
        while low < high:
            middle = (low + high) // 2
            row = <RowDeletions>self.rows[middle]
            if row.uid < uid or (
                row.uid == uid and (row.rank < rank or row.rank == rank and row.row_id < msg_id)
            ):
                low = middle + 1
            else:
                high = middle
        return low

    cdef RowDeletions at_or_after(self, uint64_t uid, int rank, uint64_t msg_id):
        """The only row that can have the message; None if the index does not know it."""
        cdef Py_ssize_t position = self.find_position(uid, rank, msg_id)
        cdef RowDeletions row
        if position == self.count:
            return None
        row = <RowDeletions>self.rows[position]
        if row.uid != uid or row.rank != rank or row.exclusive_from > msg_id:
            return None
        return row

    cdef RowDeletions get(self, uint64_t uid, int rank, uint64_t row_id):
        """The row with this id, or None if it is not in the index."""
        cdef RowDeletions row = self.at_or_after(uid, rank, row_id)
        return row if row is not None and row.row_id == row_id else None

    cdef int insert(self, RowDeletions row) except -1:
        """Add a row whose messages are loaded. If memory is short, random other rows are evicted."""
        cdef Py_ssize_t position
        cdef Py_ssize_t added = ROW_BYTES + row.count * MESSAGE_BYTES
        while self.count and self.used_bytes + added > self.max_bytes:
            self.random_state ^= self.random_state << 13
            self.random_state ^= self.random_state >> 7
            self.random_state ^= self.random_state << 17
            self.remove_at(<Py_ssize_t>(self.random_state % <uint64_t>self.count))
        position = self.find_position(row.uid, row.rank, row.row_id)
        if position < self.count and <RowDeletions>self.rows[position] is row:
            return 0
        self.rows = <PyObject**>with_capacity(self.rows, self.count, &self.capacity, sizeof(PyObject*))
        memmove(
            &self.rows[position + 1], &self.rows[position],
            <size_t>(self.count - position) * sizeof(PyObject*),
        )
        Py_INCREF(row)
        self.rows[position] = <PyObject*>row
        self.count += 1
        self.used_bytes += added
        if CHECKED:
            check_neighbours(self, position)
        return 0

    cdef int discard(self, RowDeletions row) except -1:
        """Remove a row if it is in the index."""
        cdef Py_ssize_t position = self.find_position(row.uid, row.rank, row.row_id)
        if position < self.count and <RowDeletions>self.rows[position] is row:
            self.remove_at(position)
        return 0

    cdef int remove_at(self, Py_ssize_t position) except -1:
        cdef PyObject* row = self.rows[position]
        check(0 <= position < self.count, b"a row that is removed is in the index")
        self.count -= 1
        self.used_bytes -= ROW_BYTES + (<RowDeletions>row).count * MESSAGE_BYTES
        memmove(
            &self.rows[position], &self.rows[position + 1],
            <size_t>(self.count - position) * sizeof(PyObject*),
        )
        Py_DECREF(<object>row)
        check((self.used_bytes == 0) == (self.count == 0), b"an index knows how many bytes its rows take")
        return 0

    cdef int clear(self) except -1:
        """Remove all rows."""
        while self.count:
            self.remove_at(self.count - 1)
        return 0
