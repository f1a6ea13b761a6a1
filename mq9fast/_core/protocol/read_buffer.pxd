"""The read buffer of a connection, for asyncio's BufferedProtocol: `Session` owns one and parses from it.

All connections of a broker read into the same memory, the `Scratch` of the `Engine`. A connection has memory
of its own only while it has received a part of a frame.
"""


cdef class Scratch:
    """Memory that every connection of a broker reads into, one after the other."""
    cdef char* data
    cdef Py_ssize_t capacity
    cdef object memory         # a memoryview of all of it
    cdef object small_memory   # a memoryview of its first MIN_READ_BYTES


cdef class ReadBuffer:
    cdef Scratch scratch
    cdef char* own           # the received part of an unfinished frame; NULL if there is none
    cdef Py_ssize_t own_capacity
    cdef Py_ssize_t kept     # bytes of `own` that are in use
    cdef Py_ssize_t offered  # size of the buffer that the next read gets

    # The steps of one read: get the buffer, note how many bytes were read, parse, keep the unparsed rest.
    cdef object buffer(self, bint small)
    cdef bint reads_into_own(self) noexcept
    cdef bint filled(self, Py_ssize_t count) noexcept
    cdef int keep(self, Py_ssize_t used, Py_ssize_t needed) except -1

    # DANGER: the bytes to parse, valid from `filled` to `keep`.
    cdef char* data
    cdef Py_ssize_t size
