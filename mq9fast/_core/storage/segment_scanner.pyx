"""Reads the records of a segment of the value log in order.

`storage/segment.py` checks with it what was not synced before it writes a segment again. It gets an open
descriptor, and writes nothing.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

import os

from mq9fast._core.base.crc32c cimport crc32c
from mq9fast._core.storage.row_format cimport BATCH_KEY_BYTES, read_u16, read_u32
from mq9fast._core.storage.value_format cimport (
    SEGMENT_HEAD_BYTES, VALUE_RECORD_BYTES, ValueRecordLayout
)

from mq9fast._core.storage.record import CorruptRecord


cdef class SegmentScanner:
    """Iterates over the records from the byte `start` up to `end`: gives (key, offset of the value, size).

    Raises OSError, and CorruptRecord at a record that is damaged or incomplete.
    """
    cdef int descriptor
    cdef uint64_t number
    cdef long long at
    cdef long long end

    def __cinit__(self, int descriptor, uint64_t number, long long end, long long start=0):
        self.descriptor = descriptor
        self.number = number
        self.end = end
        self.at = max(start, SEGMENT_HEAD_BYTES)

    def __iter__(self):
        return self

    def __next__(self):
        cdef bytes head, value
        cdef const ValueRecordLayout* fixed
        cdef Py_ssize_t key_size, size
        cdef long long value_at
        if self.at >= self.end:
            raise StopIteration
        head = os.pread(self.descriptor, VALUE_RECORD_BYTES + BATCH_KEY_BYTES, self.at)
        fixed = <const ValueRecordLayout*>PyBytes_AS_STRING(head)
        if PyBytes_GET_SIZE(head) < VALUE_RECORD_BYTES:
            raise self.damaged()
        key_size = read_u16(fixed.key_size)
        size = <Py_ssize_t>read_u32(fixed.value_size)
        if (
            VALUE_RECORD_BYTES + key_size > PyBytes_GET_SIZE(head)
            or crc32c(PyBytes_AS_STRING(head) + 4, VALUE_RECORD_BYTES + key_size - 4) != read_u32(fixed.crc)
        ):
            raise self.damaged()
        value_at = self.at + VALUE_RECORD_BYTES + key_size
        self.at = value_at + size
        if self.at > self.end:
            raise self.damaged()
        value = os.pread(self.descriptor, size, value_at)
        if crc32c(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)) != read_u32(fixed.value_crc):
            raise self.damaged()
        return head[VALUE_RECORD_BYTES:VALUE_RECORD_BYTES + key_size], value_at, size

    cdef object damaged(self):
        return CorruptRecord(f"the record at byte {self.at} of segment {self.number} is damaged")
