"""A binary min-heap for deadlines and returned messages; the contract is in heap.pxd."""

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Free, PyMem_Realloc


cdef inline bint is_less(HeapItem* a, HeapItem* b) noexcept:
    return a.major < b.major or (a.major == b.major and a.minor < b.minor)


cdef class Heap:
    """A min-heap by (major, minor). Push, remove and a changed key cost O(log n)."""

    def __dealloc__(self):
        PyMem_Free(self.items)

    cdef void set_slot(self, HeapItem* item, Py_ssize_t slot) noexcept:
        check(0 <= slot < self.size, b"an item of a heap is in one of its slots")
        self.items[slot] = item
        item.slot = slot

    cdef Py_ssize_t sift_up(self, HeapItem* item, Py_ssize_t slot) noexcept:
        cdef Py_ssize_t parent
        while slot > 0:
            parent = (slot - 1) >> 1
            if not is_less(item, self.items[parent]):
                break
            self.set_slot(self.items[parent], slot)
            slot = parent
        self.set_slot(item, slot)
        return slot

    cdef void sift_down(self, HeapItem* item, Py_ssize_t slot) noexcept:
        cdef Py_ssize_t child
        while True:
            child = 2 * slot + 1
            if child >= self.size:
                break
            if child + 1 < self.size and is_less(self.items[child + 1], self.items[child]):
                child += 1
            if not is_less(self.items[child], item):
                break
            self.set_slot(self.items[child], slot)
            slot = child
        self.set_slot(item, slot)

    cdef int push(self, HeapItem* item) except -1:
        cdef HeapItem** grown
        cdef Py_ssize_t capacity
        check(item.slot < 0, b"an item is in one heap at most")
        if self.size == self.capacity:
            capacity = max(16, self.capacity * 2)
            grown = <HeapItem**>PyMem_Realloc(self.items, <size_t>capacity * sizeof(HeapItem*))
            if grown is NULL:
                raise MemoryError
            self.items = grown
            self.capacity = capacity
        self.size += 1
        self.sift_up(item, self.size - 1)
        return 0

    cdef void remove(self, HeapItem* item) noexcept:
        """Remove `item`; nothing happens if it is not in the heap. The last item fills the free slot."""
        cdef Py_ssize_t slot = item.slot
        cdef HeapItem* last
        if slot < 0:
            return
        check(slot < self.size and self.items[slot] == item, b"an item that is removed is in this heap")
        item.slot = -1
        self.size -= 1
        if slot == self.size:
            return
        last = self.items[self.size]
        if self.sift_up(last, slot) == slot:
            self.sift_down(last, slot)

    cdef void restore_order(self, HeapItem* item) noexcept:
        """Move `item`, which is in the heap, to its right slot after its key was changed."""
        cdef Py_ssize_t slot = item.slot
        check(0 <= slot < self.size and self.items[slot] == item, b"an item that moves is in this heap")
        if self.sift_up(item, slot) == slot:
            self.sift_down(item, slot)
