"""The subscriptions to plain NATS subjects, in a trie of subject tokens (nats-server: `Sublist`).

`Router` owns it, adds and removes subscriptions, and asks it for the receivers of each message. A cache of
literal subjects (match_cache) answers most of these look-ups.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.base.bytes_map cimport BytesMap
from mq9fast._core.base.view cimport View
from mq9fast._core.pubsub.client cimport Subscription
from mq9fast._core.pubsub.match_cache cimport Match, MatchCache


cdef class Node:
    cdef BytesMap literals         # token -> Node
    cdef Node partial_wildcard     # the node behind '*'
    cdef Node full_wildcard        # the node behind '>'
    cdef dict plain                # Subscription -> None, in order of subscribing
    cdef dict groups               # queue name -> a dict like `plain`

    cdef bint is_empty(self) noexcept


cdef class Sublist:
    cdef Node root
    cdef Py_ssize_t size
    cdef uint64_t generation           # grows by one with each change; older matches are then invalid
    cdef uint64_t seed
    cdef MatchCache cache
    cdef Match* last_match             # the last result of `match`; owned by the cache; NULL at first
    cdef readonly uint64_t lookups     # calls of `match`, without those for the same subject as the last
    cdef readonly uint64_t misses      # of these, the calls that the cache could not answer
    cdef Py_ssize_t collected          # subscriptions collected for misses; the router adds them to its cost
    cdef list found_plain              # scratch of `match`; empty between calls
    cdef dict found_groups             # scratch of `match`; empty between calls

    cdef int insert(self, Subscription subscription) except -1
    cdef bint remove(self, Subscription subscription) except -1
    cdef int prune(self, Node node, list path, View subject) except -1
    cdef Match* match(self, View subject) except NULL

    cdef inline bint is_valid(self, const Match* match) noexcept:
        """Whether a match is the last that `match` returned, and nothing was inserted or removed since."""
        return match == self.last_match and match.generation == self.generation

    cdef int collect(self, Node node, View rest) except -1
    cdef int collect_from(self, Node node) except -1
