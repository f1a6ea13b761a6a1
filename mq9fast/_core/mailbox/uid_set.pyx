"""A set of mailbox uids as a sorted array; the contract, and who uses it, is in uid_set.pxd."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport qsort

from mq9fast._core.base.check cimport CHECKED, check
from mq9fast._core.base.memory cimport PyMem_Free
from mq9fast._core.base.vector cimport with_capacity


cdef int compare(const void* a, const void* b) noexcept nogil:
    cdef uint64_t left = (<const uint64_t*>a)[0]
    cdef uint64_t right = (<const uint64_t*>b)[0]
    return (left > right) - (left < right)


cdef void check_sorted(const uint64_t* items, Py_ssize_t count) noexcept:
    cdef Py_ssize_t i
    for i in range(1, count):
        check(items[i - 1] <= items[i], b"uids are sorted before they are searched")


cdef class UidSet:
    """First add all uids, then call `sort`, then test with `in`."""

    def __dealloc__(self):
        PyMem_Free(self.items)

    def __len__(self):
        return self.count

    cdef int append(self, uint64_t uid) except -1:
        self.items = <uint64_t*>with_capacity(self.items, self.count, &self.capacity, sizeof(uint64_t))
        self.items[self.count] = uid
        self.count += 1
        return 0

    def add(self, uint64_t uid) -> None:
        """Add a uid. `sort` must be called before the next test."""
        self.append(uid)

    def sort(self) -> None:
        """Sort the uids. Other Python threads run meanwhile, and must not use this set."""
        if self.count == 0:
            return      # qsort must not get NULL, not even for an empty array
        with nogil:
            qsort(self.items, <size_t>self.count, sizeof(uint64_t), compare)

    def __contains__(self, uint64_t uid):
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.count
        cdef Py_ssize_t middle
        if CHECKED:
            check_sorted(self.items, self.count)
        while low < high:
            middle = (low + high) // 2
            if self.items[middle] < uid:
                low = middle + 1
            else:
                high = middle
        return low < self.count and self.items[low] == uid
