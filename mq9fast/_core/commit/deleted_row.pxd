"""Rows that deletions were looked up in, kept for a while: deletions in any order find each of them once."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from mq9fast._core.storage.record_batch cimport RecordBatch, RecordLocation


cdef enum:
    # What is kept of rows that were looked up: about a million messages that came pipelined.
    MAX_KEPT_BYTES = 8388608


cdef class DeletedRow:
    """What is deleted of one row, with what the present batch deletes of it."""
    cdef uint64_t uid
    cdef int rank
    cdef uint64_t row_id
    cdef int count                # messages in the row
    cdef uint64_t deleted         # the set of them
    cdef uint32_t dead_bytes      # what those take that the row still holds
    cdef bint has_bitmap          # the store has a mark
    cdef bint gathered            # this batch knows it
    cdef bint changed             # and deletes something of it

    # Known once the row was read: ids, as their distance from the row's, its last; sizes of header and
    # payload. No other row of the rank has an id from `clear_from` to the row's.
    cdef bint known
    cdef uint16_t* before
    cdef uint32_t* sizes
    cdef uint64_t clear_from

    cdef int know(self, RecordBatch batch) except -1
    cdef int find(self, uint64_t msg_id) noexcept

    cdef inline bint add(self, int index) noexcept:
        """Delete a message; false if it is deleted already."""
        if (self.deleted >> index) & 1:
            return False
        self.deleted |= <uint64_t>1 << index
        self.changed = True
        return True

    cdef inline RecordLocation location(self, int index) noexcept:
        cdef RecordLocation location
        location.row_id = self.row_id
        location.index = <unsigned char>index
        location.count = <unsigned char>self.count
        return location


cdef class RowIndex:
    """Rows in the order of the store, as many as fit. What is in here is what the store has, and the
    present batch: whoever else changes rows, or fails to, calls `clear`."""
    cdef PyObject** rows          # DeletedRow objects, owned
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef Py_ssize_t kept_bytes
    cdef Py_ssize_t max_bytes
    cdef uint64_t dice            # picks what has to go

    cdef Py_ssize_t place(self, uint64_t uid, int rank, uint64_t msg_id) noexcept
    cdef DeletedRow at_or_after(self, uint64_t uid, int rank, uint64_t msg_id)
    cdef DeletedRow get(self, uint64_t uid, int rank, uint64_t row_id)
    cdef int keep(self, DeletedRow row) except -1
    cdef int forget(self, DeletedRow row) except -1
    cdef int remove(self, Py_ssize_t place) except -1
    cdef int clear(self) except -1
