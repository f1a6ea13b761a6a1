"""The read buffer of a connection, used by `Session`; the contract is in read_buffer.pxd.

Connections can share memory because each read is parsed before the next read begins: an idle connection
costs no buffer. Only the received part of an unfinished frame is copied to memory of the connection itself.
A small part is copied back in front of the next read. A large part stays, and the next reads append to it.
"""

from cpython.buffer cimport PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memcpy, memmove

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from mq9fast._core.base.view cimport View, put

cdef class Scratch:
    """Memory of `capacity` bytes, at least 4096, that all connections of a broker read into."""

    def __cinit__(self, Py_ssize_t capacity):
        self.capacity = max(capacity, MIN_READ_BYTES)
        self.data = <char*>PyMem_Malloc(<size_t>self.capacity)
        if self.data is NULL:
            raise MemoryError
        self.memory = PyMemoryView_FromMemory(self.data, self.capacity, PyBUF_WRITE)

    def __dealloc__(self):
        PyMem_Free(self.data)


cdef class ReadBuffer:
    """The bytes that one connection has read and not parsed yet."""

    def __cinit__(self, Scratch scratch not None):
        self.scratch = scratch

    def __dealloc__(self):
        PyMem_Free(self.partial)

    cdef object next_buffer(self, Py_ssize_t most):
        """A writable memoryview for the next read, of at most `most` bytes."""
        cdef bint appends = self.appends_to_partial()
        self.offered = (self.partial_capacity if appends else self.scratch.capacity) - self.partial_bytes
        self.offered = min(self.offered, most)
        check(self.offered > 0, b"a transport is offered space to read into")
        if self.offered == self.scratch.capacity:
            return self.scratch.memory
        return PyMemoryView_FromMemory(
            (self.partial if appends else self.scratch.data) + self.partial_bytes, self.offered, PyBUF_WRITE
        )

    cdef bint add_read(self, Py_ssize_t count) noexcept:
        """Note that `count` bytes were read. Returns whether they filled the buffer that was offered."""
        check(0 <= count <= self.offered, b"a transport reads no more than it was offered")
        self.size = self.partial_bytes + count
        if self.appends_to_partial():
            self.data = self.partial
            return count == self.offered
        self.data = self.scratch.data
        if self.partial_bytes:
            memcpy(self.data, self.partial, <size_t>self.partial_bytes)
        return count == self.offered

    cdef bint appends_to_partial(self) noexcept:
        """Whether the unfinished frame is so large that the next read appends to it."""
        return self.partial_bytes > self.scratch.capacity // 2

    cdef int append(self, View more) except -1:
        """Put bytes behind the unfinished frame, to be parsed as those of a read are."""
        cdef Py_ssize_t size = self.partial_bytes + more.size
        if self.partial_capacity < size:
            self.reallocate(max(size, 2 * self.partial_bytes))
        put(self.partial + self.partial_bytes, more)
        self.data = self.partial
        self.size = size
        return 0

    cdef int reallocate(self, Py_ssize_t capacity) except -1:
        cdef char* grown = <char*>PyMem_Realloc(self.partial, <size_t>capacity)
        if grown is NULL:
            raise MemoryError
        if self.data == self.partial:
            self.data = grown
        self.partial = grown
        self.partial_capacity = capacity
        return 0

    cdef int keep_unparsed(self, Py_ssize_t used, Py_ssize_t needed) except -1:
        """Keep the bytes after the first `used` for the next read.

        `needed` is the length of the frame that they begin, or 0 if it is unknown. The memory allocated
        depends on the bytes received so far: a client that announces a large frame gets none for that alone.
        """
        cdef Py_ssize_t rest = self.size - used
        cdef Py_ssize_t capacity
        check(0 <= used <= self.size, b"no more is parsed than was read")
        if rest == 0:
            PyMem_Free(self.partial)
            self.partial = NULL
            self.partial_capacity = self.partial_bytes = 0
            return 0
        if self.data == self.partial and used:
            memmove(self.partial, self.partial + used, <size_t>rest)
        capacity = rest
        if rest > self.scratch.capacity // 2:
            capacity = max(min(needed, 2 * rest), rest) + MIN_READ_BYTES
        if self.partial_capacity < capacity:
            self.reallocate(capacity)
        if self.data != self.partial:
            memcpy(self.partial, self.data + used, <size_t>rest)
        self.partial_bytes = rest
        return 0
