"""Reads values from the value log, for `storage/rocks.py` and `row_iterator`.

It opens a segment when a value of it is read first, and keeps a limited number open.
"""

from mq9fast._core.storage.value_format cimport ValuePointer


cdef class ValueReader:
    cdef object open_segment      # number -> descriptor
    cdef dict descriptors         # number -> descriptor; the one that was opened first is closed first
    cdef Py_ssize_t max_open

    cdef int descriptor(self, object number) except -1
    cdef int close_oldest(self, Py_ssize_t left) except -1
    cdef bytes read(self, const ValuePointer* pointer)
    cpdef bytes resolve(self, bytes value)
