"""What literal subjects matched, remembered: who gets a message on each, laid out for delivery."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View


cdef struct Match:
    # Who gets a message on one subject, in one allocation. Subscriptions are borrowed: a Match is used only
    # while its generation is the Sublist's.
    uint64_t hash
    uint64_t generation
    Py_ssize_t bytes          # of the allocation
    View subject              # points behind the arrays
    Py_ssize_t plain          # the first so many subscriptions each get the message
    Py_ssize_t groups         # then one of each group does; ends[i] is where group i stops
    PyObject** subscriptions
    Py_ssize_t* ends


cdef Match* pack(list plain, dict groups, View subject, uint64_t hashed, uint64_t generation) except NULL


cdef class MatchCache:
    """Each slot holds the last subject that hashed to it. There are more slots once good ones push each other
    out, up to a limit: as many subjects in turn cost no more each than a few do. What they match takes no
    more than `MAX_BYTES`, or one match that is larger alone."""
    cdef Match** slots
    cdef readonly Py_ssize_t capacity     # a power of two
    cdef readonly Py_ssize_t kept_bytes   # of the matches
    cdef Py_ssize_t hand                  # the slot to be emptied next for want of memory
    cdef Py_ssize_t displaced             # of the same generation as what took their slot

    cdef Match* find(self, View subject, uint64_t hashed, uint64_t generation) noexcept
    cdef void keep(self, Match* match) noexcept
    cdef void drop(self, Py_ssize_t slot) noexcept
    cdef void ensure_capacity(self, Py_ssize_t needed) noexcept
    cdef void grow(self) noexcept
