"""Byte strings in ascending order, in chunks: insertions and removals move at most one chunk of pointers.

`MailboxIndex` keeps the addresses of public mailboxes in it. Strings that come in order, as at a start, fill
the chunks completely.
"""

from cpython.ref cimport PyObject

from mq9fast._core.base.view cimport View


cdef enum:
    CHUNK_ITEMS = 256


cdef struct Chunk:
    # Never empty. Its items are greater than those of the chunk before it.
    Py_ssize_t count
    PyObject* items[CHUNK_ITEMS]      # bytes objects, owned references


cdef class OrderedBytes:
    cdef Chunk** chunks
    cdef Py_ssize_t chunk_count
    cdef Py_ssize_t capacity          # of `chunks`
    cdef Py_ssize_t size              # strings

    cdef int insert(self, bytes item) except -1
    cdef bint remove(self, View item) noexcept
    cdef list items_from(self, View start, Py_ssize_t max_count)

    cdef Py_ssize_t chunk_of(self, View item) noexcept
    cdef int insert_chunk(self, Py_ssize_t at) except -1
    cdef void remove_chunk(self, Py_ssize_t at) noexcept
    cdef void merge_with_next(self, Py_ssize_t at) noexcept
