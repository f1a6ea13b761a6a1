"""A write batch of the store whose large values go to the value log.

`storage/rocks.py` creates one in `new_batch`. Small values go to RocksDB's batch at once. Large values wait
here until `append` writes them to a segment and puts their pointers into that batch.
"""

from libc.stdint cimport uint64_t
from posix.types cimport off_t


cdef struct Record


cdef struct ValueWrite:
    # The large values of a batch on their way to a segment.
    int descriptor
    off_t offset
    Record* records               # DANGER: they point to bytes that the batch holds
    Py_ssize_t count
    int failure                   # 0 or an error number


cdef void run_write(ValueWrite* write) noexcept nogil


cdef class ValueBatch:
    cdef readonly object rows     # RocksDB's write batch
    cdef object put_row           # its methods
    cdef object delete_row
    cdef object delete_row_range
    cdef readonly dict large      # key -> value, for the value log
    cdef readonly Py_ssize_t record_bytes    # of the records of all large values
    cdef readonly bint has_values  # large values were written to a segment
    cdef readonly list spans      # (first, last) of their keys, for each run with one mailbox and rank
    cdef ValueWrite write
    cdef uint64_t segment         # that `write` writes to

    cdef int forget(self, bytes key) except -1
    cdef int put_pointers(self) except -1
    cdef int note_spans(self) except -1
