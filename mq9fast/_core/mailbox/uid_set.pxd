"""A set of mailbox uids that takes eight bytes each."""

from libc.stdint cimport uint64_t


cdef class UidSet:
    cdef uint64_t* items
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity

    cdef int put(self, uint64_t uid) except -1
