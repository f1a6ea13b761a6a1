"""A hash table from byte strings to objects. A look-up needs a View only and creates no Python object.

`Sublist`, the cache of `SubjectFilter` and `MailboxIndex` are built on it.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, hash_view


cdef extern from *:
    """
    #if defined(__GNUC__)
    #define mq9fast_prefetch(at) __builtin_prefetch(at)
    #else
    #define mq9fast_prefetch(at)
    #endif
    """
    void mq9fast_prefetch(const void* at) noexcept


cdef struct Slot:
    uint64_t hash
    PyObject* key      # owned reference; NULL in a free slot
    PyObject* value    # owned reference


cdef class BytesMap:
    cdef Slot* slots
    cdef Py_ssize_t capacity      # a power of two
    cdef Py_ssize_t size
    cdef uint64_t seed

    cdef PyObject* find(self, View key) noexcept
    cdef int insert(self, bytes key, object value) except -1
    cdef bint remove(self, View key) noexcept

    cdef inline void prefetch(self, View key) noexcept:
        """Load the memory of `key`'s slot into the processor's cache, ahead of a look-up."""
        if self.capacity:
            mq9fast_prefetch(&self.slots[hash_view(key, self.seed) & <uint64_t>(self.capacity - 1)])

    cdef Py_ssize_t find_slot(self, View key, uint64_t hashed) noexcept
    cdef int resize(self, Py_ssize_t capacity) except -1
    cdef void close_gap(self, Py_ssize_t hole) noexcept
