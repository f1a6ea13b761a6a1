"""Rows of a store, read one after the other."""


cdef class RowIterator:
    cdef object key           # methods of the iterator, none once it is let go
    cdef object value
    cdef object step
    cdef object status
    cdef object options       # which the iterator points into
    cdef object failed
    cdef bytes first          # the bounds of the scan
    cdef bytes end
    cdef bytes last_key       # of the last row that was given
    cdef bint at_row          # it stands before a row that was not given yet

    cdef int finish(self) except -1
