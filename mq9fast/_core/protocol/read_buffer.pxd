"""The read buffer of a connection, for asyncio's BufferedProtocol: `Session` owns one and parses from it.

All connections of a broker read into the same memory, the `Scratch` of the `Engine`. A connection has memory
of its own only while it has received a part of a frame.
"""

from mq9fast._core.base.view cimport View


cdef enum:
    MIN_READ_BYTES = 4096


cdef class Scratch:
    """Memory that every connection of a broker reads into, one after the other."""
    cdef char* data
    cdef Py_ssize_t capacity
    cdef object memory         # a memoryview of all of it


cdef class ReadBuffer:
    cdef Scratch scratch
    cdef char* partial       # the received part of an unfinished frame; NULL if there is none
    cdef Py_ssize_t partial_capacity
    cdef Py_ssize_t partial_bytes
    cdef Py_ssize_t offered  # size of the buffer that the next read gets

    # The steps of one read: get the buffer, note how many bytes were read, parse, keep the unparsed rest.
    cdef object next_buffer(self, Py_ssize_t most)
    cdef bint appends_to_partial(self) noexcept
    cdef bint add_read(self, Py_ssize_t count) noexcept
    # Instead of a read: append bytes that do not come from the socket.
    cdef int append(self, View more) except -1
    cdef int reallocate(self, Py_ssize_t capacity) except -1
    cdef int keep_unparsed(self, Py_ssize_t used, Py_ssize_t needed) except -1

    # DANGER: the bytes to parse, valid from `add_read` to `keep_unparsed`.
    cdef char* data
    cdef Py_ssize_t size
