"""Rows that deletions were looked up in; see deleted_row.pxd."""

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memmove

from mq9fast._core.base.memory cimport PyMem_Free, PyMem_Malloc
from mq9fast._core.base.vector cimport with_capacity
from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.record_batch cimport BATCH_ID_SPAN, RecordBatch, has_bit

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    ROW_BYTES = 192           # of one that is kept, besides what it has for each message
    MESSAGE_BYTES = 6


cdef class DeletedRow:

    def __dealloc__(self):
        PyMem_Free(self.before)
        PyMem_Free(self.sizes)

    cdef int know(self, RecordBatch batch) except -1:
        """Note where its messages are and what they take; CorruptRecord if the run cannot be this row."""
        cdef StoredMessage message
        cdef uint64_t msg_id
        cdef uint16_t before = BATCH_ID_SPAN
        cdef int i
        if self.before is NULL:
            self.before = <uint16_t*>PyMem_Malloc(<size_t>self.count * sizeof(uint16_t))
        if self.sizes is NULL:
            self.sizes = <uint32_t*>PyMem_Malloc(<size_t>self.count * sizeof(uint32_t))
        if self.before is NULL or self.sizes is NULL:
            raise MemoryError
        if batch.count != self.count:
            raise CorruptRecord(f"a run of {self.count} messages has {batch.count}")
        self.clear_from = self.row_id
        for i in range(self.count):
            self.sizes[i] = 0
            if has_bit(batch.present, i):
                msg_id = batch.id_of(i)
                if msg_id > self.row_id or self.row_id - msg_id >= BATCH_ID_SPAN:
                    raise CorruptRecord(f"a run at {self.row_id} holds the message {msg_id}")
                before = <uint16_t>(self.row_id - msg_id)
                self.clear_from = min(self.clear_from, msg_id)
                if not has_bit(self.deleted, i):
                    batch.read(i, &message)
                    self.sizes[i] = <uint32_t>(message.header.size + message.payload.size)
            # One that was dropped has no id: another with the same is found first, or none has it.
            self.before[i] = before
        self.known = True
        return 0

    cdef int find(self, uint64_t msg_id) noexcept:
        """The index of a message, or -1."""
        cdef int low = 0
        cdef int high = self.count
        cdef int middle
        cdef uint64_t wanted = self.row_id - msg_id
        while low < high:
            middle = (low + high) // 2
            if self.before[middle] > wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < self.count and self.before[low] == wanted else -1


cdef class RowIndex:

    def __cinit__(self):
        self.dice = 1
        self.max_bytes = MAX_KEPT_BYTES

    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.rows)

    cdef Py_ssize_t place(self, uint64_t uid, int rank, uint64_t msg_id) noexcept:
        """Where the first row is that ends no earlier, or belongs."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.count
        cdef Py_ssize_t middle
        cdef DeletedRow row
        while low < high:
            middle = (low + high) // 2
            row = <DeletedRow>self.rows[middle]
            if row.uid < uid or (
                row.uid == uid and (row.rank < rank or row.rank == rank and row.row_id < msg_id)
            ):
                low = middle + 1
            else:
                high = middle
        return low

    cdef DeletedRow at_or_after(self, uint64_t uid, int rank, uint64_t msg_id):
        """The row that has the message, or that is known to be the only one that could; None if not known."""
        cdef Py_ssize_t place = self.place(uid, rank, msg_id)
        cdef DeletedRow row
        if place == self.count:
            return None
        row = <DeletedRow>self.rows[place]
        if row.uid != uid or row.rank != rank or row.clear_from > msg_id:
            return None
        return row

    cdef DeletedRow get(self, uint64_t uid, int rank, uint64_t row_id):
        """The row of that id, or None if it is not known."""
        cdef DeletedRow row = self.at_or_after(uid, rank, row_id)
        return row if row is not None and row.row_id == row_id else None

    cdef int keep(self, DeletedRow row) except -1:
        """Keep a row whose messages are known, at the cost of others if there is no room."""
        cdef Py_ssize_t place
        while self.count and self.kept_bytes + ROW_BYTES + row.count * MESSAGE_BYTES > self.max_bytes:
            self.dice ^= self.dice << 13
            self.dice ^= self.dice >> 7
            self.dice ^= self.dice << 17
            self.remove(<Py_ssize_t>(self.dice % <uint64_t>self.count))
        place = self.place(row.uid, row.rank, row.row_id)
        if place < self.count and <DeletedRow>self.rows[place] is row:
            return 0
        self.rows = <PyObject**>with_capacity(self.rows, self.count, &self.capacity, sizeof(PyObject*))
        memmove(
            &self.rows[place + 1], &self.rows[place], <size_t>(self.count - place) * sizeof(PyObject*)
        )
        Py_INCREF(row)
        self.rows[place] = <PyObject*>row
        self.count += 1
        self.kept_bytes += ROW_BYTES + row.count * MESSAGE_BYTES
        return 0

    cdef int forget(self, DeletedRow row) except -1:
        """The row is deleted."""
        cdef Py_ssize_t place = self.place(row.uid, row.rank, row.row_id)
        if place < self.count and <DeletedRow>self.rows[place] is row:
            self.remove(place)
        return 0

    cdef int remove(self, Py_ssize_t place) except -1:
        cdef PyObject* row = self.rows[place]
        self.count -= 1
        self.kept_bytes -= ROW_BYTES + (<DeletedRow>row).count * MESSAGE_BYTES
        memmove(
            &self.rows[place], &self.rows[place + 1], <size_t>(self.count - place) * sizeof(PyObject*)
        )
        Py_DECREF(<object>row)
        return 0

    cdef int clear(self) except -1:
        """Know nothing."""
        while self.count:
            self.remove(self.count - 1)
        return 0
