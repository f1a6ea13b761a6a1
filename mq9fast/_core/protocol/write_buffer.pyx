"""The write buffer of a connection, one for each `Client`; the contract is in write_buffer.pxd.

`take` gives the bytes object away, and the next turn starts another. So bytes that the transport has not sent
yet need no copy: nothing changes them any more.
"""

from cpython.ref cimport PyObject, Py_XDECREF

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport View, put

cdef extern from "Python.h":
    PyObject* PyBytes_FromStringAndSize(const char*, Py_ssize_t) except NULL
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    Py_ssize_t Py_REFCNT(PyObject*) noexcept

cdef enum:
    # With the header of a bytes object this stays below 512 bytes, the limit of Python's fast allocator.
    MIN_CHUNK_BYTES = 472
    MAX_EXPECTED_BYTES = 1 << 20


cdef class WriteBuffer:
    """Bytes that wait for one write to the socket."""

    def __dealloc__(self):
        self.discard()

    cdef int grow(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t capacity
        if self.chunk is NULL:
            capacity = max(self.expected + more, MIN_CHUNK_BYTES)
            self.chunk = PyBytes_FromStringAndSize(NULL, capacity)
        else:
            capacity = max(self.capacity * 2, self.size + more)
            self.resize(capacity)
        self.capacity = capacity
        return 0

    cdef int resize(self, Py_ssize_t capacity) except -1:
        try:
            return _PyBytes_Resize(&self.chunk, capacity)
        except MemoryError:
            # A failed resize has freed the old object.
            self.capacity = self.size = 0
            raise

    cdef int append(self, View v) except -1:
        # Reserving no bytes could leave the chunk NULL, and then there is no pointer to return.
        if v.size:
            self.commit(put(self.reserve(v.size), v))
        return 0

    cdef bytes take(self):
        cdef bytes taken
        if self.size == 0:
            self.discard()
            return b""
        check(Py_REFCNT(self.chunk) == 1, b"the buffer has the only reference to its bytes")
        self.expected = min(self.size, MAX_EXPECTED_BYTES)
        if self.size < self.capacity:
            self.resize(self.size)
        taken = <bytes>self.chunk
        self.discard()
        return taken

    cdef void discard(self) noexcept:
        Py_XDECREF(self.chunk)
        self.chunk = NULL
        self.capacity = self.size = 0
