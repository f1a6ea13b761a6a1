"""Timers in a heap; the contract is in timers.pxd."""

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint64_t

from mq9fast._core.base.clock cimport monotonic_ns
from mq9fast._core.base.heap cimport Heap, HeapItem


cdef class Timed:
    """Something with a timer."""

    def __cinit__(self, *_, **__):
        self.timer.slot = -1
        self.timer.owner = <void*>self

    cdef int ring(self, uint64_t now_ms) except -1:
        """The time has come. The timer is not set any more."""
        raise NotImplementedError


cdef class Timers:
    """One for each broker."""

    def __cinit__(self):
        self.heap = Heap()

    def __dealloc__(self):
        cdef HeapItem* item
        if self.heap is not None:
            while self.heap.size:
                item = self.heap.first()
                self.heap.remove(item)
                Py_DECREF(<Timed>item.owner)

    cdef int set(self, Timed timed, uint64_t at_ms) except -1:
        """Ring at `at_ms`, in broker time, or at an earlier time that is set already."""
        if timed.timer.slot < 0:
            timed.timer.major = at_ms
            self.heap.push(&timed.timer)
            Py_INCREF(timed)
        elif at_ms < timed.timer.major:
            timed.timer.major = at_ms
            self.heap.restore_order(&timed.timer)
        return 0

    cdef int cancel(self, Timed timed) except -1:
        if timed.timer.slot >= 0:
            self.heap.remove(&timed.timer)
            Py_DECREF(timed)
        return 0

    cdef bint run_due(self, uint64_t now_ms, uint64_t end_ns) except -1:
        """Ring what is due, the earliest first, until `end_ns`. Returns whether there is more."""
        cdef HeapItem* item
        cdef Timed timed
        while True:
            item = self.heap.first()
            if item is NULL or item.major > now_ms:
                return False
            timed = <Timed>item.owner
            self.cancel(timed)
            timed.ring(now_ms)
            if monotonic_ns() >= end_ns:
                return True
