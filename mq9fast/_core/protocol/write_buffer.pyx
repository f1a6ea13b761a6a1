"""The write buffer of a connection, one for each `Client`; the contract is in write_buffer.pxd.

`take` gives the bytes object away, and the next turn starts another. So bytes that the transport has not sent
yet need no copy: nothing changes them any more.
"""

from cpython.ref cimport PyObject, Py_XDECREF
from libc.errno cimport EINTR, errno

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Free, PyMem_Malloc
from mq9fast._core.base.view cimport View, put, slice_from, view

cdef extern from "Python.h":
    PyObject* PyBytes_FromStringAndSize(const char*, Py_ssize_t) except NULL
    int _PyBytes_Resize(PyObject**, Py_ssize_t) except -1
    Py_ssize_t Py_REFCNT(PyObject*) noexcept

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    Py_ssize_t writev(int descriptor, const iovec* pieces, int count)

cdef enum:
    # With the header of a bytes object this stays below 512 bytes, the limit of Python's fast allocator.
    MIN_CHUNK_BYTES = 472
    MAX_EXPECTED_BYTES = 1 << 20


cdef class WriteBuffer:
    """Bytes that wait for one write to the socket."""

    def __dealloc__(self):
        self.discard()
        PyMem_Free(self.borrowed)

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

    cdef int borrow(self, View v) except -1:
        check(self.borrowed_count < MAX_BORROWED, b"there is space to note what is borrowed")
        if self.borrowed is NULL:
            self.borrowed = <Borrowed*>PyMem_Malloc(MAX_BORROWED * sizeof(Borrowed))
            if self.borrowed is NULL:
                raise MemoryError
        self.borrowed[self.borrowed_count].bytes = v
        self.borrowed[self.borrowed_count].after = self.size
        self.borrowed_count += 1
        return 0

    cdef int pieces(self, View* at) noexcept:
        """Set the pieces of the output, in order: a part of the chunk, what is borrowed behind it, and so on.
        Returns their number, at most 2 * MAX_BORROWED + 1."""
        cdef const char* chunk = b""
        cdef Py_ssize_t begin = 0
        cdef int i
        if self.chunk is not NULL:
            chunk = start_of(self.chunk)
        for i in range(self.borrowed_count):
            at[2 * i] = view(chunk + begin, self.borrowed[i].after - begin)
            at[2 * i + 1] = self.borrowed[i].bytes
            begin = self.borrowed[i].after
        at[2 * self.borrowed_count] = view(chunk + begin, self.size - begin)
        return 2 * self.borrowed_count + 1

    cdef int write_borrowed(self, int descriptor) except -1:
        cdef iovec items[2 * MAX_BORROWED + 1]
        cdef View views[2 * MAX_BORROWED + 1]
        cdef int count = self.pieces(views)
        cdef Py_ssize_t written
        cdef int i
        for i in range(count):
            items[i].iov_base = <void*>views[i].data
            items[i].iov_len = <size_t>views[i].size
        written = writev(descriptor, items, count)
        while written < 0 and errno == EINTR:
            written = writev(descriptor, items, count)
        # After a failure nothing is written. The transport gets the rest, and fails in the same way.
        return self.copy_rest(max(written, 0))

    cdef int copy_rest(self, Py_ssize_t written) except -1:
        """Drop the bytes that were written, and copy what is borrowed of the others. After a MemoryError all
        output is lost."""
        cdef View views[2 * MAX_BORROWED + 1]
        cdef int count = self.pieces(views)
        cdef WriteBuffer rest = WriteBuffer()
        cdef Py_ssize_t size = -written
        cdef int i
        for i in range(count):
            size += views[i].size
        try:
            if size:
                rest.reserve(size)
        except MemoryError:
            self.discard()
            raise
        for i in range(count):
            if written >= views[i].size:
                written -= views[i].size
                continue
            rest.append(slice_from(views[i], written))
            written = 0
        self.expected = min(self.size, MAX_EXPECTED_BYTES)
        self.discard()
        self.chunk, rest.chunk = rest.chunk, NULL
        self.capacity, self.size = rest.capacity, rest.size
        return 0

    cdef bytes take(self):
        cdef bytes taken
        if self.borrowed_count:
            self.copy_rest(0)
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
        self.borrowed_count = 0
