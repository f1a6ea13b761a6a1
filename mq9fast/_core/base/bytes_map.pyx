"""A hash table from byte strings to objects: open addressing, linear probing, no tombstones.

The contract, and who uses it, is in bytes_map.pxd.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.check cimport check
from mq9fast._core.base.huge_pages cimport advise_huge_pages
from mq9fast._core.base.memory cimport PyMem_Calloc, PyMem_Free
from mq9fast._core.base.view cimport View, hash_view, same, view, view_of

cdef enum:
    MIN_CAPACITY = 4


cdef class BytesMap:
    """A map from bytes to objects. Where clients choose the keys, `seed` must be secret (see `hash_view`)."""

    def __cinit__(self, uint64_t seed):
        self.seed = seed

    def __dealloc__(self):
        cdef Py_ssize_t i
        cdef Py_ssize_t found = 0
        for i in range(self.capacity):
            if self.slots[i].key is not NULL:
                Py_DECREF(<object>self.slots[i].key)
                Py_DECREF(<object>self.slots[i].value)
                found += 1
        check(found == self.size, b"the size of a map is its number of keys")
        PyMem_Free(self.slots)

    cdef Py_ssize_t find_slot(self, View key, uint64_t hashed) noexcept:
        """The slot that holds `key`, or the free slot where `key` would go. A free slot always exists."""
        cdef Py_ssize_t mask = self.capacity - 1
        cdef Py_ssize_t i = <Py_ssize_t>(hashed & <uint64_t>mask)
        cdef Slot* slot
        check(self.size < self.capacity, b"a map has a free slot, so that a search ends")
        while True:
            slot = &self.slots[i]
            if slot.key is NULL:
                return i
            if slot.hash == hashed and same(
                view(PyBytes_AS_STRING(<object>slot.key), PyBytes_GET_SIZE(<object>slot.key)), key
            ):
                return i
            i = (i + 1) & mask

    cdef PyObject* find(self, View key) noexcept:
        """The value of `key` as a borrowed reference, or NULL."""
        if self.size == 0:
            return NULL
        return self.slots[self.find_slot(key, hash_view(key, self.seed))].value

    cdef int insert(self, bytes key, object value) except -1:
        """Set the value of `key`. An existing value is replaced."""
        cdef uint64_t hashed = hash_view(view_of(key), self.seed)
        cdef Slot* slot
        cdef PyObject* old
        if (self.size + 1) * 4 > self.capacity * 3:
            self.resize(max(MIN_CAPACITY, self.capacity * 2))
        slot = &self.slots[self.find_slot(view_of(key), hashed)]
        Py_INCREF(value)
        if slot.key is not NULL:
            old = slot.value
            slot.value = <PyObject*>value
            Py_DECREF(<object>old)
            return 0
        Py_INCREF(key)
        slot.hash = hashed
        slot.key = <PyObject*>key
        slot.value = <PyObject*>value
        self.size += 1
        check(self.size * 4 <= self.capacity * 3, b"a map is at most three quarters full")
        return 0

    cdef bint remove(self, View key) noexcept:
        """Remove `key`; false if it was not there.

        DANGER: `key` may point into the removed key object. It must not be used after this call.
        """
        cdef Py_ssize_t hole
        cdef PyObject* old_key
        cdef PyObject* old_value
        if self.size == 0:
            return False
        hole = self.find_slot(key, hash_view(key, self.seed))
        old_key = self.slots[hole].key
        old_value = self.slots[hole].value
        if old_key is NULL:
            return False
        self.close_gap(hole)
        self.size -= 1
        Py_DECREF(<object>old_key)
        Py_DECREF(<object>old_value)
        return True

    cdef void close_gap(self, Py_ssize_t hole) noexcept:
        """Backward-shift deletion: move later slots of the chain back, so that no look-up stops early."""
        cdef Py_ssize_t mask = self.capacity - 1
        cdef Py_ssize_t i = hole
        cdef Py_ssize_t home
        while True:
            i = (i + 1) & mask
            if self.slots[i].key is NULL:
                break
            home = <Py_ssize_t>(self.slots[i].hash & <uint64_t>mask)
            if ((i - home) & mask) >= ((i - hole) & mask):
                self.slots[hole] = self.slots[i]
                hole = i
        self.slots[hole].key = NULL
        self.slots[hole].value = NULL

    cdef int resize(self, Py_ssize_t capacity) except -1:
        cdef Slot* old = self.slots
        cdef Py_ssize_t old_capacity = self.capacity
        cdef Py_ssize_t i, j
        cdef Slot* grown = <Slot*>PyMem_Calloc(<size_t>capacity, sizeof(Slot))
        check(capacity & (capacity - 1) == 0 and capacity > self.size, b"the slot count is a power of two")
        if grown is NULL:
            raise MemoryError
        advise_huge_pages(grown, <size_t>capacity * sizeof(Slot))
        self.slots = grown
        self.capacity = capacity
        for i in range(old_capacity):
            if old[i].key is not NULL:
                j = <Py_ssize_t>(old[i].hash & <uint64_t>(capacity - 1))
                while grown[j].key is not NULL:
                    j = (j + 1) & (capacity - 1)
                grown[j] = old[i]
        PyMem_Free(old)
        return 0

    def __iter__(self):
        """Iterate over a copy of the values, in no particular order."""
        cdef Py_ssize_t i
        return iter([
            <object>self.slots[i].value for i in range(self.capacity) if self.slots[i].key is not NULL
        ])
