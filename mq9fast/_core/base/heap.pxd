"""A binary min-heap, ordered by (major, minor). Each item knows its slot, so that any item can be removed.

`MailboxIndex` keeps the deadlines of mailboxes in one, and `InFlightTable` the messages that members
returned. The heap borrows its items: an item is a field of its owner, has a fixed address, and is in at most
one heap.
"""

from libc.stdint cimport uint64_t


cdef struct HeapItem:
    uint64_t major
    uint64_t minor
    Py_ssize_t slot       # index in the heap's array; -1 while the item is in no heap
    void* owner           # borrowed; the object or struct that the item is a field of


cdef class Heap:
    cdef HeapItem** items
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    cdef int push(self, HeapItem* item) except -1
    cdef void remove(self, HeapItem* item) noexcept
    cdef void restore_order(self, HeapItem* item) noexcept

    cdef void set_slot(self, HeapItem* item, Py_ssize_t slot) noexcept
    cdef Py_ssize_t sift_up(self, HeapItem* item, Py_ssize_t slot) noexcept
    cdef void sift_down(self, HeapItem* item, Py_ssize_t slot) noexcept

    cdef inline HeapItem* first(self) noexcept:
        return self.items[0] if self.size else NULL
