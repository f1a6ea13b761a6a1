"""Growable C arrays, for the classes of the core that keep structs or pointers without Python objects.

The caller owns the array and frees it with PyMem_Free.
"""

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Realloc


cdef inline void* with_capacity(
    void* items, Py_ssize_t used, Py_ssize_t* capacity, size_t item_bytes, Py_ssize_t more=1
) except NULL:
    """Make sure that `items` has space for `more` items after the first `used`, and return its address.

    The array may move. `capacity` counts items, not bytes. MemoryError if it cannot grow; the array is then
    unchanged.
    """
    cdef Py_ssize_t wanted = used + more
    cdef void* grown
    check(0 <= used <= capacity[0] and more >= 0, b"an array holds no more than its capacity")
    if items is not NULL and wanted <= capacity[0]:
        return items
    wanted = max(wanted, max(64, capacity[0] * 2))
    grown = PyMem_Realloc(items, <size_t>wanted * item_bytes)
    if grown is NULL:
        raise MemoryError
    capacity[0] = wanted
    return grown
