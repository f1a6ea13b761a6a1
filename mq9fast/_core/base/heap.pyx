"""A binary heap of items that know their slot; see heap.pxd."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint64_t


cdef inline bint before(HeapItem* a, HeapItem* b) noexcept:
    return a.major < b.major or (a.major == b.major and a.minor < b.minor)


cdef class Heap:
    """The least (major, minor) first; push, remove and a changed key cost O(log n)."""

    def __dealloc__(self):
        PyMem_Free(self.items)

    cdef void place(self, HeapItem* item, Py_ssize_t slot) noexcept:
        self.items[slot] = item
        item.slot = slot

    cdef Py_ssize_t rise(self, HeapItem* item, Py_ssize_t slot) noexcept:
        cdef Py_ssize_t parent
        while slot > 0:
            parent = (slot - 1) >> 1
            if not before(item, self.items[parent]):
                break
            self.place(self.items[parent], slot)
            slot = parent
        self.place(item, slot)
        return slot

    cdef void sink(self, HeapItem* item, Py_ssize_t slot) noexcept:
        cdef Py_ssize_t child
        while True:
            child = 2 * slot + 1
            if child >= self.size:
                break
            if child + 1 < self.size and before(self.items[child + 1], self.items[child]):
                child += 1
            if not before(self.items[child], item):
                break
            self.place(self.items[child], slot)
            slot = child
        self.place(item, slot)

    cdef int push(self, HeapItem* item) except -1:
        cdef HeapItem** grown
        cdef Py_ssize_t capacity
        if self.size == self.capacity:
            capacity = max(16, self.capacity * 2)
            grown = <HeapItem**>PyMem_Realloc(self.items, <size_t>capacity * sizeof(HeapItem*))
            if grown is NULL:
                raise MemoryError
            self.items = grown
            self.capacity = capacity
        self.size += 1
        self.rise(item, self.size - 1)
        return 0

    cdef void remove(self, HeapItem* item) noexcept:
        """Take `item` out, if it is in. The last slot is vacated first, so removing it moves nothing."""
        cdef Py_ssize_t slot = item.slot
        cdef HeapItem* last
        if slot < 0:
            return
        item.slot = -1
        self.size -= 1
        if slot == self.size:
            return
        last = self.items[self.size]
        if self.rise(last, slot) == slot:
            self.sink(last, slot)

    cdef void moved(self, HeapItem* item) noexcept:
        """Restore the order after `item`, which is in the heap, was given another key."""
        cdef Py_ssize_t slot = item.slot
        if self.rise(item, slot) == slot:
            self.sink(item, slot)


@cython.no_gc_clear
cdef class Ticket:
    """A heap item with a Python face, for tests and benchmarks: its key, its slot and its heap."""

    cdef HeapItem item
    cdef Heap heap

    def __cinit__(self, Heap heap not None, uint64_t major, uint64_t minor):
        self.heap = heap
        self.item.major = major
        self.item.minor = minor
        self.item.slot = -1
        self.item.owner = <void*>self

    def __dealloc__(self):
        # The heap only borrows it.
        if self.heap is not None:
            self.heap.remove(&self.item)

    @property
    def key(self):
        return self.item.major, self.item.minor

    @property
    def slot(self):
        return self.item.slot

    def push(self):
        """Put it into its heap; ValueError if it is there."""
        if self.item.slot >= 0:
            raise ValueError("the ticket is in the heap")
        self.heap.push(&self.item)

    def remove(self):
        self.heap.remove(&self.item)

    def move(self, uint64_t major, uint64_t minor):
        """Change the key of a ticket that is in the heap; ValueError if it is not."""
        if self.item.slot < 0:
            raise ValueError("the ticket is in no heap")
        self.item.major = major
        self.item.minor = minor
        self.heap.moved(&self.item)


def first_ticket(Heap heap not None):
    """The ticket at the top of a heap of tickets, or None."""
    cdef HeapItem* item = heap.first()
    return None if item is NULL else <Ticket>item.owner
