"""Objects that wait for a time: one heap for all of them, so that waiting costs nothing until a time comes.

A time may be too early: the object then sets its timer again. `Delivery` runs those that are due.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.heap cimport Heap, HeapItem


cdef class Timed:
    cdef HeapItem timer       # major = broker time in milliseconds

    cdef int ring(self, uint64_t now_ms) except -1


cdef class Timers:
    cdef Heap heap            # of Timed objects: it owns a reference to each

    cdef int set(self, Timed timed, uint64_t at_ms) except -1
    cdef int cancel(self, Timed timed) except -1
    cdef bint run_due(self, uint64_t now_ms, uint64_t end_ns) except -1
