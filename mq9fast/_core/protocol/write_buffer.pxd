"""The write buffer of a connection: the frames of one turn, collected in one bytes object.

Each `Client` owns one. Whatever sends to the client appends to it, and the end of the turn gives the bytes
to the transport in one write.

Large payloads may be borrowed instead of copied, for as long as they stay where they are. Before they go,
`write_borrowed` gives everything to the socket, and copies only what the socket does not take.
"""

from cpython.ref cimport PyObject

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View

cdef extern from "Python.h":
    # It takes a bare pointer, because a cast to object would change the reference count for every frame.
    char* start_of "PyBytes_AS_STRING"(PyObject* chunk) noexcept


cdef enum:
    MAX_BORROWED = 64


cdef struct Borrowed:
    View bytes            # DANGER: of the read buffer
    Py_ssize_t after      # the bytes of the chunk that come before them


cdef class WriteBuffer:
    cdef PyObject* chunk           # a bytes object; this is the only reference to it. NULL while it is empty
    cdef Py_ssize_t capacity       # bytes allocated in chunk
    cdef Py_ssize_t size           # bytes written to chunk
    cdef Py_ssize_t expected       # size at the last `take`: the next chunk starts with as much capacity
    cdef Borrowed* borrowed        # space for MAX_BORROWED; NULL until something was borrowed
    cdef int borrowed_count

    # To append: reserve the most bytes that may be needed (at least one), write at the returned pointer, and
    # commit the end of what was written.
    cdef int grow(self, Py_ssize_t more) except -1
    cdef int append(self, View v) except -1
    cdef int resize(self, Py_ssize_t capacity) except -1

    cdef inline char* reserve(self, Py_ssize_t most) except NULL:
        check(most > 0, b"at least one byte is reserved")
        if self.size + most > self.capacity:
            self.grow(most)
        return start_of(self.chunk) + self.size

    cdef inline void commit(self, char* end) noexcept:
        self.size = end - start_of(self.chunk)
        check(0 <= self.size <= self.capacity, b"the committed bytes were reserved")

    # Append bytes without copying them. DANGER: they must stay in place until `write_borrowed` or `discard`.
    cdef int borrow(self, View v) except -1
    cdef int pieces(self, View* at) noexcept
    # Write everything to a socket that does not block, and copy the rest: nothing is borrowed afterwards.
    cdef int write_borrowed(self, int descriptor) except -1
    cdef int copy_rest(self, Py_ssize_t written) except -1

    # `take` gives the bytes to the caller; the buffer is empty afterwards.
    cdef bytes take(self)
    cdef void discard(self) noexcept
