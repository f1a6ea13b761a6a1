"""A write batch of the store whose large values go to the value log.

`storage/rocks.py` creates one in `new_batch`. Small values go to RocksDB's batch at once. Large values wait
here until `append` writes them to a segment and puts their pointers into that batch.
"""

from libc.stdint cimport uint64_t


cdef struct Record


cdef class ValueBatch:
    cdef readonly object rows     # RocksDB's write batch
    cdef object put_row           # its methods
    cdef object delete_row
    cdef object delete_row_range
    cdef readonly dict large      # key -> value, for the value log
    cdef readonly Py_ssize_t record_bytes    # of the records of all large values

    cdef int forget(self, bytes key) except -1
    cdef int put_pointers(self, Record* records, uint64_t segment, long long offset) except -1
