"""Plain subjects: what is valid, and who is subscribed to what (NATS subject rules: tokens, `*` and `>`)."""

from libc.stdint cimport uint64_t

from mq9fast._core.client cimport Subscription
from mq9fast._core.matches cimport Match, MatchCache
from mq9fast._core.table cimport Table
from mq9fast._core.views cimport View, starts_with, view


cdef inline bint is_ours(View subject) noexcept:
    """Whether the subject is a command's: never in the trie, and matched by no wildcard."""
    return starts_with(subject, view(b"$mq9.", 5))


cdef inline bint is_routed_reply(View subject) noexcept:
    """Whether it is a subject that replies between nats-servers travel on: no client may publish there."""
    if subject.size < 5 or subject.data[0] != c'_' and subject.data[0] != c'$':
        return False
    if starts_with(subject, view(b"_GR_.", 5)):
        return subject.size > 5
    return starts_with(subject, view(b"$GR.", 4))


cdef inline bint is_reserved(View subject) noexcept:
    """Whether nats-server keeps the subject to itself."""
    if subject.size == 0 or subject.data[0] != c'_' and subject.data[0] != c'$':
        return False
    return is_routed_reply(subject) or starts_with(subject, view(b"$NRG.", 5))


cdef bint valid_subject(View subject) noexcept
cdef bint has_wildcard(View subject) noexcept
cdef bint covers(View pattern, View subject) noexcept
cdef bint overlap(View a, View b) noexcept


cdef class Node:
    cdef Table literals       # token -> Node
    cdef Node partial         # '*'
    cdef Node full            # '>'
    cdef dict plain           # Subscription -> None, in order of subscribing
    cdef dict groups          # queue name -> dict like `plain`

    cdef bint is_empty(self) noexcept


cdef class Sublist:
    cdef Node root
    cdef readonly Py_ssize_t size
    cdef readonly uint64_t generation      # rises with every change
    cdef uint64_t seed
    cdef MatchCache cache
    cdef Match* last          # what `match` returned before, in the cache; or NULL
    cdef readonly uint64_t lookups         # matches asked for, repetitions of the one before aside
    cdef readonly uint64_t misses          # of them, those that were not in the cache
    cdef list found_plain
    cdef dict found_groups

    cdef int insert(self, Subscription subscription) except -1
    cdef bint remove(self, Subscription subscription) except -1
    cdef int prune(self, Node node, list path, View subject) except -1
    cdef Match* match(self, View subject) except NULL

    cdef int collect(self, Node node, View rest) except -1
    cdef int collect_from(self, Node node) except -1
