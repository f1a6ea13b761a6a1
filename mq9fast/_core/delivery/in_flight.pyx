"""Which messages a queue group has given out; see in_flight.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport Heap
from mq9fast._core.base.memory cimport PyMem_Calloc, PyMem_Free
from mq9fast._core.storage.record_batch cimport RecordLocation

cdef enum:
    MIN_CAPACITY = 16


cdef inline void unlink(InFlight* entry, InFlightList* member_of) noexcept:
    """Take a hold off its member's list, if it is on one."""
    if entry.member is NULL:
        return
    if entry.previous is not NULL:
        entry.previous.following = entry.following
    else:
        member_of.first = entry.following
    if entry.following is not NULL:
        entry.following.previous = entry.previous
    member_of.count -= 1
    entry.member = NULL
    entry.previous = entry.following = NULL


cdef class InFlightTable:
    """Holds by msg_id, those given back in a heap per rank."""

    def __cinit__(self):
        self.critical = Heap()
        self.urgent = Heap()
        self.normal = Heap()

    def __dealloc__(self):
        self.free_entries()

    cdef InFlight* find(self, uint64_t msg_id) noexcept:
        cdef InFlight* entry
        if self.size == 0:
            return NULL
        entry = self.buckets[msg_id & <uint64_t>(self.capacity - 1)]
        while entry is not NULL and entry.item.minor != msg_id:
            entry = entry.chain
        return entry

    cdef InFlight* add(self, int rank, uint64_t msg_id, uint64_t size, RecordLocation location) except NULL:
        """A new hold, of nobody yet. The message has none so far."""
        cdef InFlight* entry
        cdef InFlight** bucket
        if self.size == self.capacity:
            self.resize()
        entry = <InFlight*>PyMem_Calloc(1, sizeof(InFlight))
        if entry is NULL:
            raise MemoryError
        entry.item.major = <uint64_t>rank
        entry.item.minor = msg_id
        entry.item.slot = -1
        entry.item.owner = entry
        entry.size = size
        entry.location = location
        bucket = &self.buckets[msg_id & <uint64_t>(self.capacity - 1)]
        entry.chain = bucket[0]
        bucket[0] = entry
        self.size += 1
        return entry

    cdef void drop(self, InFlight* entry, InFlightList* member_of) noexcept:
        """Forget a hold; `member_of` is its member's list, or NULL if it has no member."""
        cdef InFlight** link = &self.buckets[entry.item.minor & <uint64_t>(self.capacity - 1)]
        while link[0] != entry:
            link = &link[0].chain
        link[0] = entry.chain
        unlink(entry, member_of)
        self.returned(entry.item.major).remove(&entry.item)
        PyMem_Free(entry)
        self.size -= 1

    cdef void give(self, InFlight* entry, void* member, InFlightList* member_of) noexcept:
        """The hold, which is nobody's, becomes the member's."""
        self.returned(entry.item.major).remove(&entry.item)
        entry.state = HELD
        entry.member = member
        entry.following = member_of.first
        if member_of.first is not NULL:
            member_of.first.previous = entry
        member_of.first = entry
        member_of.count += 1

    cdef int take_back(self, InFlight* entry, InFlightList* member_of) except -1:
        """The hold is nobody's again. One that is being deleted waits for the outcome outside the heap."""
        unlink(entry, member_of)
        if entry.state == DELETING:
            return 0
        entry.state = RETURNED
        self.returned(entry.item.major).push(&entry.item)
        return 0

    cdef void clear(self) noexcept:
        """Forget everything. The members' lists are their owners' to empty."""
        self.free_entries()
        self.critical.size = self.urgent.size = self.normal.size = 0

    cdef void free_entries(self) noexcept:
        cdef Py_ssize_t i
        cdef InFlight* entry
        cdef InFlight* following
        for i in range(self.capacity):
            entry = self.buckets[i]
            while entry is not NULL:
                following = entry.chain
                PyMem_Free(entry)
                entry = following
        PyMem_Free(self.buckets)
        self.buckets = NULL
        self.capacity = self.size = 0

    cdef int resize(self) except -1:
        cdef Py_ssize_t capacity = max(MIN_CAPACITY, self.capacity * 2)
        cdef InFlight** buckets = <InFlight**>PyMem_Calloc(<size_t>capacity, sizeof(InFlight*))
        cdef Py_ssize_t i
        cdef InFlight* entry
        cdef InFlight* following
        cdef InFlight** bucket
        if buckets is NULL:
            raise MemoryError
        for i in range(self.capacity):
            entry = self.buckets[i]
            while entry is not NULL:
                following = entry.chain
                bucket = &buckets[entry.item.minor & <uint64_t>(capacity - 1)]
                entry.chain = bucket[0]
                bucket[0] = entry
                entry = following
        PyMem_Free(self.buckets)
        self.buckets = buckets
        self.capacity = capacity
        return 0
