"""Which messages a queue group has given out; see in_flight.pxd."""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport Heap
from mq9fast._core.storage.record_batch cimport Spot

cdef enum:
    SMALLEST_ROOM = 16


cdef inline void unlink(Hold* hold, HoldList* holder) noexcept:
    """Take a hold off its member's list, if it is on one."""
    if hold.member is NULL:
        return
    if hold.previous is not NULL:
        hold.previous.following = hold.following
    else:
        holder.first = hold.following
    if hold.following is not NULL:
        hold.following.previous = hold.previous
    holder.count -= 1
    hold.member = NULL
    hold.previous = hold.following = NULL


cdef class Holding:
    """Holds by msg_id, those given back in a heap per rank."""

    def __cinit__(self):
        self.critical = Heap()
        self.urgent = Heap()
        self.normal = Heap()

    def __dealloc__(self):
        self.free_holds()

    cdef Hold* find(self, uint64_t msg_id) noexcept:
        cdef Hold* hold
        if self.size == 0:
            return NULL
        hold = self.buckets[msg_id & <uint64_t>(self.room - 1)]
        while hold is not NULL and hold.item.minor != msg_id:
            hold = hold.chain
        return hold

    cdef Hold* add(self, int rank, uint64_t msg_id, uint64_t size, Spot spot) except NULL:
        """A new hold, of nobody yet. The message has none so far."""
        cdef Hold* hold
        cdef Hold** bucket
        if self.size == self.room:
            self.resize()
        hold = <Hold*>PyMem_Calloc(1, sizeof(Hold))
        if hold is NULL:
            raise MemoryError
        hold.item.major = <uint64_t>rank
        hold.item.minor = msg_id
        hold.item.slot = -1
        hold.item.owner = hold
        hold.size = size
        hold.spot = spot
        bucket = &self.buckets[msg_id & <uint64_t>(self.room - 1)]
        hold.chain = bucket[0]
        bucket[0] = hold
        self.size += 1
        return hold

    cdef void drop(self, Hold* hold, HoldList* holder) noexcept:
        """Forget a hold; `holder` is its member's list, or NULL if it has no member."""
        cdef Hold** link = &self.buckets[hold.item.minor & <uint64_t>(self.room - 1)]
        while link[0] != hold:
            link = &link[0].chain
        link[0] = hold.chain
        unlink(hold, holder)
        self.returned(hold.item.major).remove(&hold.item)
        PyMem_Free(hold)
        self.size -= 1

    cdef void give(self, Hold* hold, void* member, HoldList* holder) noexcept:
        """The hold, which is nobody's, becomes the member's."""
        self.returned(hold.item.major).remove(&hold.item)
        hold.state = HELD
        hold.member = member
        hold.following = holder.first
        if holder.first is not NULL:
            holder.first.previous = hold
        holder.first = hold
        holder.count += 1

    cdef int take_back(self, Hold* hold, HoldList* holder) except -1:
        """The hold is nobody's again. One that is being deleted waits for the outcome outside the heap."""
        unlink(hold, holder)
        if hold.state == DELETING:
            return 0
        hold.state = RETURNED
        self.returned(hold.item.major).push(&hold.item)
        return 0

    cdef void clear(self) noexcept:
        """Forget everything. The members' lists are their owners' to empty."""
        self.free_holds()
        self.critical.size = self.urgent.size = self.normal.size = 0

    cdef void free_holds(self) noexcept:
        cdef Py_ssize_t i
        cdef Hold* hold
        cdef Hold* following
        for i in range(self.room):
            hold = self.buckets[i]
            while hold is not NULL:
                following = hold.chain
                PyMem_Free(hold)
                hold = following
        PyMem_Free(self.buckets)
        self.buckets = NULL
        self.room = self.size = 0

    cdef int resize(self) except -1:
        cdef Py_ssize_t room = max(SMALLEST_ROOM, self.room * 2)
        cdef Hold** buckets = <Hold**>PyMem_Calloc(<size_t>room, sizeof(Hold*))
        cdef Py_ssize_t i
        cdef Hold* hold
        cdef Hold* following
        cdef Hold** bucket
        if buckets is NULL:
            raise MemoryError
        for i in range(self.room):
            hold = self.buckets[i]
            while hold is not NULL:
                following = hold.chain
                bucket = &buckets[hold.item.minor & <uint64_t>(room - 1)]
                hold.chain = bucket[0]
                bucket[0] = hold
                hold = following
        PyMem_Free(self.buckets)
        self.buckets = buckets
        self.room = room
        return 0
