"""The write side of a connection: frames of one turn, gathered into one `bytes`."""

from cpython.ref cimport PyObject

from mq9fast._core.base.view cimport View

cdef extern from "Python.h":
    # On the bare pointer: a cast to object would count references for every frame.
    char* start_of "PyBytes_AS_STRING"(PyObject* chunk) noexcept


cdef class WriteBuffer:
    cdef PyObject* chunk           # an exact bytes object with this as its only reference, or NULL
    cdef Py_ssize_t capacity       # bytes in chunk
    cdef readonly Py_ssize_t size  # bytes of it that are written
    cdef Py_ssize_t expected       # what the last turn took, so that a steady flow never grows twice

    # Append: reserve the most it may take (more than nothing), write at the pointer, commit the end.
    cdef int grow(self, Py_ssize_t more) except -1
    cdef int append(self, View v) except -1
    cdef int resize(self, Py_ssize_t capacity) except -1

    cdef inline char* reserve(self, Py_ssize_t most) except NULL:
        if self.size + most > self.capacity:
            self.grow(most)
        return start_of(self.chunk) + self.size

    cdef inline void commit(self, char* end) noexcept:
        self.size = end - start_of(self.chunk)

    # Hand over: what was gathered becomes the caller's, and the buffer owns nothing.
    cdef bytes take(self)
    cdef void discard(self) noexcept
