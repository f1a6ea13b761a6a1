"""Counts of the core's live objects and memory blocks in the debug build; base/check.pxd has the assertions.

Tests compare `live_objects` before and after, to find objects that are not freed.
"""

import sys

from cpython.long cimport PyLong_FromVoidPtr
from cpython.ref cimport PyObject

from mq9fast._core.base.check cimport CHECKED

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        PyTypeObject* tp_base
        PyObject* (*tp_alloc)(PyTypeObject*, Py_ssize_t) noexcept
        void (*tp_free)(void*) noexcept
    PyObject* PyType_GenericAlloc(PyTypeObject* type, Py_ssize_t items) noexcept
    PyTypeObject* Py_TYPE(PyObject* thing) noexcept
    bint PyObject_IS_GC(PyObject* thing) noexcept
    void PyObject_GC_Del(void* thing) noexcept
    void PyObject_Free(void* thing) noexcept

cdef enum:
    MAX_COUNTS = 256

# Each count has a name and a type: that of a class, or NULL for the memory blocks of a module.
cdef list names = []
cdef PyTypeObject* types[MAX_COUNTS]
cdef Py_ssize_t live_counts[MAX_COUNTS]


cdef int begin_count(str name, PyTypeObject* type) except -1:
    """Returns the index of the count."""
    cdef int index = <int>len(names)
    if index == MAX_COUNTS:
        raise MemoryError("MAX_COUNTS is too small")
    names.append(name)
    types[index] = type
    return index


cdef Py_ssize_t* count_of(PyTypeObject* type) noexcept:
    """The count of a class, or of the first of its base classes that is counted."""
    cdef int i
    while True:
        for i in range(MAX_COUNTS):
            if types[i] == type:
                return &live_counts[i]
        type = type.tp_base


cdef PyObject* counted_alloc(PyTypeObject* type, Py_ssize_t items) noexcept:
    cdef PyObject* allocated = PyType_GenericAlloc(type, items)
    if allocated is not NULL:
        count_of(type)[0] += 1
    return allocated


cdef void counted_free(void* freed) noexcept:
    count_of(Py_TYPE(<PyObject*>freed))[0] -= 1
    if PyObject_IS_GC(<PyObject*>freed):
        PyObject_GC_Del(freed)
    else:
        PyObject_Free(freed)


cdef int count_classes_of(object module) except -1:
    """Replace the allocation and deallocation functions of a module's classes by counting ones."""
    cdef PyTypeObject* cls
    for thing in list(vars(module).values()):
        if not isinstance(thing, type) or issubclass(thing, Exception) or thing.__name__ in names:
            continue
        if thing.__module__ == module.__name__:
            cls = <PyTypeObject*>thing
            begin_count(thing.__name__, cls)
            cls.tp_alloc = counted_alloc
            cls.tp_free = counted_free
    return 0


def is_debug_build() -> bool:
    """Whether assertions are checked."""
    return CHECKED


def live_objects() -> dict:
    """The number of live instances of each class of the core, and of memory blocks of each module, by name.

    A class is counted from the first call after the import of its module. Empty in a release build.
    """
    if CHECKED:
        for name, module in list(sys.modules.items()):
            if name.startswith("mq9fast._core."):
                count_classes_of(module)
    return {name: live_counts[i] for i, name in enumerate(names)}


def _count_of_blocks(str module) -> int:
    """The address of the count of a module's blocks; see memory.pxd."""
    cdef int index = begin_count("blocks of " + module.removeprefix("mq9fast._core."), NULL)
    return PyLong_FromVoidPtr(&live_counts[index])
