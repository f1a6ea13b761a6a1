"""What literal subjects matched, remembered; see match_cache.pxd."""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from mq9fast._core.base.view cimport View, same, view

cdef enum:
    FIRST_CAPACITY = 4096
    MAX_CAPACITY = 32768
    MAX_BYTES = 33554432


cdef Match* pack(list plain, dict groups, View subject, uint64_t hashed, uint64_t generation) except NULL:
    """Lay subscriptions, and lists of them by queue group, into one block, which is the caller's."""
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
    match.groups = group
    match.subject = view(<char*>(match.ends + group), subject.size)
    memcpy(<char*>match.subject.data, subject.data, <size_t>subject.size)
    match.hash = hashed
    match.generation = generation
    return match


cdef class MatchCache:
    """Matches by subject; it frees what it is given to keep."""

    def __cinit__(self):
        self.capacity = FIRST_CAPACITY
        self.slots = <Match**>PyMem_Calloc(FIRST_CAPACITY, sizeof(Match*))
        if self.slots is NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.slots is not NULL:
            for i in range(self.capacity):
                PyMem_Free(self.slots[i])
            PyMem_Free(self.slots)

    cdef Match* find(self, View subject, uint64_t hashed, uint64_t generation) noexcept:
        """What the subject matches, or NULL if that is not known or no longer so."""
        cdef Match* known = self.slots[hashed & <uint64_t>(self.capacity - 1)]
        if known is NULL or known.generation != generation or known.hash != hashed:
            return NULL
        return known if same(known.subject, subject) else NULL

    cdef void keep(self, Match* match) noexcept:
        """Take a match over. DANGER: frees the one in its slot, and others if they take too much memory."""
        cdef Py_ssize_t slot
        if self.displaced > self.capacity and self.capacity < MAX_CAPACITY:
            self.grow()
        slot = <Py_ssize_t>(match.hash & <uint64_t>(self.capacity - 1))
        if self.slots[slot] is not NULL and self.slots[slot].generation == match.generation:
            self.displaced += 1
        self.drop(slot)
        self.ensure_capacity(match.bytes)
        self.slots[slot] = match
        self.kept_bytes += match.bytes

    cdef void drop(self, Py_ssize_t slot) noexcept:
        if self.slots[slot] is not NULL:
            self.kept_bytes -= self.slots[slot].bytes
            PyMem_Free(self.slots[slot])
            self.slots[slot] = NULL

    cdef void ensure_capacity(self, Py_ssize_t needed) noexcept:
        """Have so many bytes left: slots are emptied in turn, whatever they hold."""
        while self.kept_bytes and self.kept_bytes + needed > MAX_BYTES:
            self.drop(self.hand)
            self.hand = (self.hand + 1) & (self.capacity - 1)

    cdef void grow(self) noexcept:
        """Double the room; without memory for that it stays as it is."""
        cdef Py_ssize_t capacity = 2 * self.capacity
        cdef Py_ssize_t i
        cdef Match** grown = <Match**>PyMem_Calloc(<size_t>capacity, sizeof(Match*))
        self.displaced = 0
        if grown is NULL:
            return
        for i in range(self.capacity):
            # One more bit of the hash counts: no two meet in a slot.
            if self.slots[i] is not NULL:
                grown[self.slots[i].hash & <uint64_t>(capacity - 1)] = self.slots[i]
        PyMem_Free(self.slots)
        self.slots = grown
        self.capacity = capacity

    def fanout(self, uint64_t generation):
        """(subjects that are known, the most subscriptions one of them matches, those of all of them)."""
        cdef Py_ssize_t i, size
        cdef Py_ssize_t known = 0
        cdef Py_ssize_t most = 0
        cdef Py_ssize_t total = 0
        cdef Match* match
        for i in range(self.capacity):
            match = self.slots[i]
            if match is not NULL and match.generation == generation:
                size = match.ends[match.groups - 1] if match.groups else match.plain
                known += 1
                most = max(most, size)
                total += size
        return known, most, total
