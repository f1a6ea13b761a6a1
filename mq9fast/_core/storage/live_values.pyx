"""Finds out which values of the value log rows point to, for `commit/value_cleaner.py`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.storage.value_format cimport (
    VALUE_RECORD_BYTES, ValuePointer, is_value_pointer, unpack_value_pointer
)


cdef class LiveValues:
    """How many bytes of each segment rows point to. `bytes_in`: the bytes by the segment's number."""
    cdef readonly dict bytes_in

    def __cinit__(self):
        self.bytes_in = {}

    def count(self, rows, Py_ssize_t max_rows):
        """Count up to `max_rows` of the stored (key, value) in `rows`.

        Returns the last key that was counted, None if `rows` has ended. Raises what `rows` raises.
        """
        cdef ValuePointer pointer
        cdef bytes key, value
        cdef Py_ssize_t size
        for key, value in rows:
            if is_value_pointer(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
                unpack_value_pointer(PyBytes_AS_STRING(value), &pointer)
                size = VALUE_RECORD_BYTES + PyBytes_GET_SIZE(key) + pointer.size
                self.bytes_in[pointer.segment] = self.bytes_in.get(pointer.segment, 0) + size
            max_rows -= 1
            if max_rows <= 0:
                return key
        return None


def rows_in(rows, segments, Py_ssize_t max_rows):
    """Look among up to `max_rows` of the stored (key, value) in `rows` for pointers into `segments`, a set.

    Returns a list of (key, segment, offset, size of the value), and the last key that was looked at, None if
    `rows` has ended. Raises what `rows` raises.
    """
    cdef ValuePointer pointer
    cdef bytes key, value
    cdef list found = []
    for key, value in rows:
        if is_value_pointer(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
            unpack_value_pointer(PyBytes_AS_STRING(value), &pointer)
            if pointer.segment in segments:
                found.append((key, pointer.segment, pointer.offset, pointer.size))
        max_rows -= 1
        if max_rows <= 0:
            return found, key
    return found, None


def points_to(bytes value, uint64_t segment, uint32_t offset) -> bool:
    """Whether the row `value`, or None, is a pointer to the value at `offset` of the segment."""
    cdef ValuePointer pointer
    if value is None or not is_value_pointer(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
        return False
    unpack_value_pointer(PyBytes_AS_STRING(value), &pointer)
    return pointer.segment == segment and pointer.offset == offset
