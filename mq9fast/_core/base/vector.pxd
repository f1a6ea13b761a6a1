"""Room for one more item in a C array that its owner grows; see turn.pxd for the arrays."""

from cpython.mem cimport PyMem_Realloc


cdef inline void* with_room(
    void* items, Py_ssize_t used, Py_ssize_t* room, size_t item_bytes, Py_ssize_t more=1
) except NULL:
    """`items`, moved if need be, with room for `more` items behind the first `used`; `room` counts items."""
    cdef Py_ssize_t wanted = used + more
    cdef void* grown
    if items is not NULL and wanted <= room[0]:
        return items
    wanted = max(wanted, max(64, room[0] * 2))
    grown = PyMem_Realloc(items, <size_t>wanted * item_bytes)
    if grown is NULL:
        raise MemoryError
    room[0] = wanted
    return grown
