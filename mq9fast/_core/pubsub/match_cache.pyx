"""A cache of the matches of literal subjects, used by `Sublist`; the contract is in match_cache.pxd."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from mq9fast._core.base.check cimport check
from mq9fast._core.base.memory cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from mq9fast._core.base.view cimport View, same, view

cdef enum:
    INITIAL_CAPACITY = 4096
    MAX_CAPACITY = 32768
    MAX_BYTES = 33554432


cdef Match* pack(list plain, dict groups, View subject, uint64_t hashed, uint64_t generation) except NULL:
    """Pack plain subscriptions, and those of each queue group, into one Match. The caller owns it."""
    cdef Py_ssize_t total = len(plain)
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t group = 0
    cdef Match* match
    cdef size_t bytes
    for members in groups.values():
        total += len(members)
    bytes = (
        sizeof(Match) + <size_t>total * sizeof(PyObject*) + <size_t>len(groups) * sizeof(Py_ssize_t)
        + <size_t>subject.size
    )
    match = <Match*>PyMem_Malloc(bytes)
    if match is NULL:
        raise MemoryError
    match.bytes = <Py_ssize_t>bytes
    match.subscriptions = <PyObject**>(match + 1)
    match.ends = <Py_ssize_t*>(match.subscriptions + total)
    for subscription in plain:
        match.subscriptions[i] = <PyObject*>subscription
        i += 1
    match.plain = i
    for members in groups.values():
        for subscription in members:
            match.subscriptions[i] = <PyObject*>subscription
            i += 1
        match.ends[group] = i
        group += 1
    check(i == total, b"a match has as many subscriptions as were counted")
    match.groups = group
    match.subject = view(<char*>(match.ends + group), subject.size)
    memcpy(<char*>match.subject.data, subject.data, <size_t>subject.size)
    match.hash = hashed
    match.generation = generation
    return match


cdef class MatchCache:
    """Matches by subject. The cache owns and frees the matches that are inserted."""

    def __cinit__(self):
        self.capacity = INITIAL_CAPACITY
        self.slots = <Match**>PyMem_Calloc(INITIAL_CAPACITY, sizeof(Match*))
        if self.slots is NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.slots is not NULL:
            for i in range(self.capacity):
                self.evict(i)
            check(self.used_bytes == 0, b"a cache knows how many bytes its matches take")
            PyMem_Free(self.slots)

    cdef Match* find(self, View subject, uint64_t hashed, uint64_t generation) noexcept:
        """The match of the subject; NULL if it is not cached or of another generation."""
        cdef Match* known = self.slots[hashed & <uint64_t>(self.capacity - 1)]
        if known is NULL or known.generation != generation or known.hash != hashed:
            return NULL
        return known if same(known.subject, subject) else NULL

    cdef void insert(self, Match* match) noexcept:
        """Take ownership of a match. DANGER: it frees the match in its slot, and more if memory is short."""
        cdef Py_ssize_t slot
        if self.conflicts > self.capacity and self.capacity < MAX_CAPACITY:
            self.grow()
        slot = <Py_ssize_t>(match.hash & <uint64_t>(self.capacity - 1))
        if self.slots[slot] is not NULL and self.slots[slot].generation == match.generation:
            self.conflicts += 1
        self.evict(slot)
        self.evict_for(match.bytes)
        self.slots[slot] = match
        self.used_bytes += match.bytes

    cdef void evict(self, Py_ssize_t slot) noexcept:
        if self.slots[slot] is not NULL:
            check(self.slots[slot].bytes <= self.used_bytes, b"the bytes of a match were counted")
            self.used_bytes -= self.slots[slot].bytes
            PyMem_Free(self.slots[slot])
            self.slots[slot] = NULL

    cdef void evict_for(self, Py_ssize_t needed) noexcept:
        """Evict slots in order until `needed` more bytes fit below MAX_BYTES."""
        while self.used_bytes and self.used_bytes + needed > MAX_BYTES:
            self.evict(self.next_evicted)
            self.next_evicted = (self.next_evicted + 1) & (self.capacity - 1)

    cdef void grow(self) noexcept:
        """Double the number of slots; if there is no memory for that, nothing changes."""
        cdef Py_ssize_t capacity = 2 * self.capacity
        cdef Py_ssize_t i
        cdef uint64_t slot
        cdef Match** grown = <Match**>PyMem_Calloc(<size_t>capacity, sizeof(Match*))
        self.conflicts = 0
        if grown is NULL:
            return
        for i in range(self.capacity):
            # The slot number gets one more bit of the hash, so two matches never need the same new slot.
            if self.slots[i] is not NULL:
                slot = self.slots[i].hash & <uint64_t>(capacity - 1)
                check(grown[slot] is NULL, b"two matches need different slots")
                grown[slot] = self.slots[i]
        PyMem_Free(self.slots)
        self.slots = grown
        self.capacity = capacity

    cdef tuple fanout(self, uint64_t generation):
        """(valid subjects, the largest number of matches of one of them, their sum)."""
        cdef Py_ssize_t i, size
        cdef Py_ssize_t subjects = 0
        cdef Py_ssize_t largest = 0
        cdef Py_ssize_t total = 0
        cdef Match* match
        for i in range(self.capacity):
            match = self.slots[i]
            if match is not NULL and match.generation == generation:
                size = match.ends[match.groups - 1] if match.groups else match.plain
                subjects += 1
                largest = max(largest, size)
                total += size
        return subjects, largest, total
