"""Which messages a queue group has given out and not seen deleted, by msg_id, and who holds each."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport Heap, HeapItem
from mq9fast._core.protocol.address cimport CRITICAL, URGENT
from mq9fast._core.storage.record_batch cimport Spot


cdef enum HoldState:
    HELD              # by its member
    RETURNED          # waiting in the heap for another member
    DELETING          # deleted, but the turn that says so is not durable


cdef struct Hold:
    HeapItem item         # major = rank, minor = msg_id
    Spot spot             # where the message lies
    uint64_t size         # bytes of header and payload
    HoldState state
    void* member          # borrowed; NULL once it left
    Hold* previous        # among what the member holds
    Hold* following
    Hold* chain           # in the same bucket


cdef struct HoldList:
    Hold* first
    Py_ssize_t count


cdef class Holding:
    cdef Hold** buckets
    cdef Py_ssize_t room          # a power of two
    cdef readonly Py_ssize_t size
    cdef Heap critical            # given back, one heap per rank
    cdef Heap urgent
    cdef Heap normal

    cdef inline Heap returned(self, uint64_t rank):
        return self.critical if rank == CRITICAL else self.urgent if rank == URGENT else self.normal

    cdef inline Py_ssize_t returned_count(self) noexcept:
        return self.critical.size + self.urgent.size + self.normal.size

    cdef Hold* find(self, uint64_t msg_id) noexcept
    cdef Hold* add(self, int rank, uint64_t msg_id, uint64_t size, Spot spot) except NULL
    cdef void drop(self, Hold* hold, HoldList* holder) noexcept
    cdef void give(self, Hold* hold, void* member, HoldList* holder) noexcept
    cdef int take_back(self, Hold* hold, HoldList* holder) except -1
    cdef void clear(self) noexcept
    cdef void free_holds(self) noexcept
    cdef int resize(self) except -1
