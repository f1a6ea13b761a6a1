"""Reads values from the value log; the contract is in value_reader.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EINTR, errno
from posix.types cimport off_t

import os

from mq9fast._core.base.crc32c cimport crc32c
from mq9fast._core.storage.value_format cimport ValuePointer, is_value_pointer, unpack_value_pointer

from mq9fast._core.storage.record import CorruptRecord

cdef enum:
    # Longer values are compared with the size of the segment first: damage must not ask for gigabytes.
    MAX_UNCHECKED_BYTES = 1 << 20


cdef extern from "<unistd.h>" nogil:
    Py_ssize_t pread(int descriptor, void* at, size_t size, off_t offset)


cdef Py_ssize_t read_at(int descriptor, char* at, Py_ssize_t size, off_t offset) noexcept nogil:
    """Read up to `size` bytes, fewer only at the end of the file. -1 after an error, with `errno` set."""
    cdef Py_ssize_t done = 0, some
    while done < size:
        some = pread(descriptor, at + done, <size_t>(size - done), offset + done)
        if some < 0 and errno == EINTR:
            continue
        if some < 0:
            return -1
        if some == 0:
            break
        done += some
    return done


cdef class ValueReader:
    """Resolves value pointers. `open_segment(number)` returns a descriptor, which the reader closes.

    `max_open`: at most so many segments are open.
    """

    def __cinit__(self, open_segment not None, Py_ssize_t max_open):
        self.open_segment = open_segment
        self.descriptors = {}
        self.max_open = max(max_open, 1)

    cdef int descriptor(self, object number) except -1:
        found = self.descriptors.get(number)
        if found is None:
            self.close_oldest(self.max_open - 1)
            found = self.descriptors[number] = self.open_segment(number)
        return found

    cdef int close_oldest(self, Py_ssize_t left) except -1:
        while len(self.descriptors) > left:
            self.close_segment(next(iter(self.descriptors)))
        return 0

    cdef bytes read(self, const ValuePointer* pointer):
        """The value. Raises OSError, and CorruptRecord if the segment does not have it."""
        cdef int descriptor = self.descriptor(pointer.segment)
        cdef Py_ssize_t size = <Py_ssize_t>pointer.size, found
        cdef off_t offset = pointer.offset
        cdef bytes value
        cdef char* at
        cdef bint same = False
        cdef int failure
        if size > MAX_UNCHECKED_BYTES and offset + size > os.fstat(descriptor).st_size:
            raise CorruptRecord(f"segment {pointer.segment} ends before a value of {size} bytes")
        value = PyBytes_FromStringAndSize(NULL, size)
        at = PyBytes_AS_STRING(value)
        with nogil:
            found = read_at(descriptor, at, size, offset)
            failure = errno
            if found == size:
                same = crc32c(at, size) == pointer.crc
        if found < 0:
            raise OSError(failure, f"{os.strerror(failure)} while reading segment {pointer.segment}")
        if not same:
            raise CorruptRecord(
                f"the value of {size} bytes at byte {offset} of segment {pointer.segment} is damaged"
            )
        return value

    cpdef bytes resolve(self, bytes value):
        """The value that a row stands for: `value` itself, unless it is a value pointer.

        Raises OSError, and CorruptRecord if the segment does not have it.
        """
        cdef ValuePointer pointer
        if value is None or not is_value_pointer(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)):
            return value
        unpack_value_pointer(PyBytes_AS_STRING(value), &pointer)
        return self.read(&pointer)

    def is_readable(self, bytes value not None) -> bool:
        """Whether the value that a row stands for can be read and is intact. Raises OSError."""
        try:
            self.resolve(value)
        except (CorruptRecord, FileNotFoundError):
            return False
        return True

    def add(self, number, int descriptor) -> None:
        """Read a segment with this descriptor, which becomes the reader's."""
        self.descriptors[number] = descriptor
        self.close_oldest(self.max_open)

    def close_segment(self, number) -> None:
        """Close a segment if it is open."""
        descriptor = self.descriptors.pop(number, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Close all segments."""
        for number in list(self.descriptors):
            self.close_segment(number)
