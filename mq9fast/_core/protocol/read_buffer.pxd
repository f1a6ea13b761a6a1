"""The read side of a connection: where the socket's bytes land and where a half-received frame waits."""


cdef class Scratch:
    """Memory that every connection of a broker reads into, one after the other."""
    cdef char* data
    cdef Py_ssize_t capacity
    cdef object memory     # a memoryview of all of it
    cdef object little     # and of its beginning


cdef class ReadBuffer:
    cdef Scratch scratch
    cdef char* own           # a frame's beginning, kept between reads; NULL for an idle connection
    cdef Py_ssize_t own_capacity
    cdef Py_ssize_t kept     # bytes of it that are there
    cdef Py_ssize_t offered  # how many may be read next

    # One read: where to, how many came, and (after parsing) what was used and the size of the next frame.
    cdef object buffer(self, bint little)
    cdef bint reads_into_own(self) noexcept
    cdef bint filled(self, Py_ssize_t count) noexcept      # whether there was no room for more
    cdef int keep(self, Py_ssize_t used, Py_ssize_t needed) except -1

    # DANGER: what `filled` left to parse; good until `keep`.
    cdef char* data
    cdef Py_ssize_t size
