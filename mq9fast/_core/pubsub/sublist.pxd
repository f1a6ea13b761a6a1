"""The subscriptions to plain subjects, in a trie of tokens."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.view cimport View
from mq9fast._core.pubsub.client cimport Subscription
from mq9fast._core.pubsub.match_cache cimport Match, MatchCache


cdef class Node:
    cdef BytesMap literals    # token -> Node
    cdef Node partial         # '*'
    cdef Node full            # '>'
    cdef dict plain           # Subscription -> None, in order of subscribing
    cdef dict groups          # queue name -> dict like `plain`

    cdef bint is_empty(self) noexcept


cdef class Sublist:
    cdef Node root
    cdef readonly Py_ssize_t size
    cdef readonly uint64_t generation  # rises with every change
    cdef uint64_t seed
    cdef MatchCache cache
    cdef Match* last                   # what `match` returned before, in the cache; or NULL
    cdef readonly uint64_t lookups     # matches asked for, repetitions of the one before aside
    cdef readonly uint64_t misses      # of them, those that were not in the cache
    cdef Py_ssize_t collected          # subscriptions gathered for misses, until the router has counted them
    cdef list found_plain
    cdef dict found_groups

    cdef int insert(self, Subscription subscription) except -1
    cdef bint remove(self, Subscription subscription) except -1
    cdef int prune(self, Node node, list path, View subject) except -1
    cdef Match* match(self, View subject) except NULL

    cdef int collect(self, Node node, View rest) except -1
    cdef int collect_from(self, Node node) except -1
