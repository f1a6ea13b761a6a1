"""Rows of a store, read one after the other."""


cdef class Rows:
    cdef object rows
    cdef object owner
    cdef object failure
