"""The read side of a connection.

Reads land in memory shared by all connections, because a read is parsed before the next one begins: an idle
connection costs no buffer. Only the beginning of a frame whose rest has not come is copied out, into memory
of the connection's own: a small one is put in front of what is read next, a large one gathers where it is.
"""

from cpython.buffer cimport PyBUF_WRITE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memcpy, memmove

cdef enum:
    MIN_READ_BYTES = 4096


cdef class Scratch:
    """Memory of `capacity` bytes, at least 4096, that a broker's connections read into in turns."""

    def __cinit__(self, Py_ssize_t capacity):
        self.capacity = max(capacity, MIN_READ_BYTES)
        self.data = <char*>PyMem_Malloc(<size_t>self.capacity)
        if self.data is NULL:
            raise MemoryError
        self.memory = PyMemoryView_FromMemory(self.data, self.capacity, PyBUF_WRITE)
        self.little = PyMemoryView_FromMemory(self.data, MIN_READ_BYTES, PyBUF_WRITE)

    def __dealloc__(self):
        PyMem_Free(self.data)


cdef class ReadBuffer:
    """One connection's unread and half-read bytes."""

    def __cinit__(self, Scratch scratch not None):
        self.scratch = scratch

    def __dealloc__(self):
        PyMem_Free(self.own)

    cdef object buffer(self, bint little):
        """Where to read to; `little`: no more than a few KiB."""
        cdef bint own = self.reads_into_own()
        self.offered = self.own_capacity - self.kept if own else self.scratch.capacity - self.kept
        if little:
            self.offered = min(self.offered, MIN_READ_BYTES)
        if self.kept == 0:
            return self.scratch.little if little else self.scratch.memory
        return PyMemoryView_FromMemory(
            (self.own if own else self.scratch.data) + self.kept, self.offered, PyBUF_WRITE
        )

    cdef bint filled(self, Py_ssize_t count) noexcept:
        self.size = self.kept + count
        if self.reads_into_own():
            self.data = self.own
            return count == self.offered
        self.data = self.scratch.data
        if self.kept:
            memcpy(self.data, self.own, <size_t>self.kept)
        return count == self.offered

    cdef bint reads_into_own(self) noexcept:
        """A large frame gathers where it is; the beginning of a small one is put before what is read next."""
        return self.kept > self.scratch.capacity // 2

    cdef int keep(self, Py_ssize_t used, Py_ssize_t needed) except -1:
        """Keep what was not used of the last read. `needed` is the whole length of the frame that it begins,
        as far as is known: memory follows what has come, not what a peer announced."""
        cdef Py_ssize_t rest = self.size - used
        cdef Py_ssize_t capacity
        cdef char* grown
        if rest == 0:
            PyMem_Free(self.own)
            self.own = NULL
            self.own_capacity = self.kept = 0
            return 0
        if self.data == self.own and used:
            memmove(self.own, self.own + used, <size_t>rest)
        capacity = rest
        if rest > self.scratch.capacity // 2:
            capacity = max(min(needed, 2 * rest), rest) + MIN_READ_BYTES
        if self.own_capacity < capacity:
            grown = <char*>PyMem_Realloc(self.own, <size_t>capacity)
            if grown is NULL:
                raise MemoryError
            if self.data == self.own:
                self.data = grown
            self.own = grown
            self.own_capacity = capacity
        if self.data != self.own:
            memcpy(self.own, self.data + used, <size_t>rest)
        self.kept = rest
        return 0
