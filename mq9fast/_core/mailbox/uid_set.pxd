"""A set of mailbox uids as a sorted array, because a Python set of a million would take ten times the memory.

A start fills it with the uids in use, and the search for orphaned messages (`mailbox/orphans.py`) asks it.
"""

from libc.stdint cimport uint64_t


cdef class UidSet:
    cdef uint64_t* items
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity

    cdef int append(self, uint64_t uid) except -1
