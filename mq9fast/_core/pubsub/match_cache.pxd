"""A cache of the matches of literal subjects: for each subject an array of the subscriptions that match it.

`Sublist` fills it when it has searched the trie; `Router` and `Tracer` deliver by the arrays of a `Match`.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View


cdef struct Match:
    # The receivers of a message on one subject, in one allocation. The subscriptions are borrowed references:
    # a Match is valid only while its generation is that of the Sublist.
    uint64_t hash
    uint64_t generation
    Py_ssize_t bytes          # size of the allocation
    View subject              # stored after the arrays, in the same allocation
    Py_ssize_t plain          # count of plain subscriptions; they come first in the array
    Py_ssize_t groups         # count of queue groups
    PyObject** subscriptions  # the plain ones, then the members of each group in turn
    Py_ssize_t* ends          # ends[i]: index behind the last member of group i


cdef Match* pack(list plain, dict groups, View subject, uint64_t hashed, uint64_t generation) except NULL


cdef class MatchCache:
    """A direct-mapped cache: each slot holds the last subject that hashed to it.

    The table doubles, up to MAX_CAPACITY slots, when valid matches often replace each other. All matches
    together take at most MAX_BYTES, or one match does that is larger by itself.
    """
    cdef Match** slots
    cdef Py_ssize_t capacity              # a power of two
    cdef Py_ssize_t used_bytes            # sum of the matches' sizes
    cdef Py_ssize_t next_evicted          # the slot to evict next when memory is short
    cdef Py_ssize_t conflicts             # valid matches replaced since the table last doubled

    cdef Match* find(self, View subject, uint64_t hashed, uint64_t generation) noexcept
    cdef void insert(self, Match* match) noexcept
    cdef void evict(self, Py_ssize_t slot) noexcept
    cdef void evict_for(self, Py_ssize_t needed) noexcept
    cdef void grow(self) noexcept
    cdef tuple fanout(self, uint64_t generation)
