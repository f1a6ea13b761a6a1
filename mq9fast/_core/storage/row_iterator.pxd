"""An iterator over rows of RocksDB that does not mistake a read error for the end of the rows.

`storage/rocks.py` returns one from each scan. It wraps an iterator of rocksdict and keeps alive what that
iterator points into.
"""

from mq9fast._core.storage.value_reader cimport ValueReader


cdef class RowIterator:
    # Bound methods of rocksdict's iterator; None after the end, so that the iterator is freed.
    cdef object key
    cdef object value
    cdef object step
    cdef object status
    cdef object options       # ReadOptions, kept alive because the iterator points into them
    cdef object failed
    cdef ValueReader values   # None: the rows have their value pointers
    cdef bytes first          # first key of the scan
    cdef bytes end            # the key behind the last one of the scan
    cdef bytes last_key       # of the row that was returned last; None before the first
    cdef bint at_row          # the iterator is at a row that was not returned yet
    cdef bint backward        # the rows come in the reverse order

    cdef int finish(self) except -1
