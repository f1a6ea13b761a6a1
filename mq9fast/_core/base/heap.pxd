"""A binary heap of items that know their slot, ordered by (major, minor).

The heap borrows its items: an item lives in its owner, at a fixed address, and is in one heap at most. With
distinct (major, minor) the order is total, so equal keys never have to be told apart.
"""

from libc.stdint cimport uint64_t


cdef struct HeapItem:
    uint64_t major
    uint64_t minor
    Py_ssize_t slot       # where the heap holds it, or -1 while it is in none
    void* owner


cdef class Heap:
    cdef HeapItem** items
    cdef readonly Py_ssize_t size
    cdef Py_ssize_t capacity

    cdef int push(self, HeapItem* item) except -1
    cdef void remove(self, HeapItem* item) noexcept
    cdef void moved(self, HeapItem* item) noexcept

    cdef void place(self, HeapItem* item, Py_ssize_t slot) noexcept
    cdef Py_ssize_t rise(self, HeapItem* item, Py_ssize_t slot) noexcept
    cdef void sink(self, HeapItem* item, Py_ssize_t slot) noexcept

    cdef inline HeapItem* first(self) noexcept:
        return self.items[0] if self.size else NULL
