"""The messages of one mailbox with failed deliveries: how many, and until when each waits.

A delivery to a member of a queue group fails if it ends without an answer. Each such message has a small row
in the store, which also says whether the message is dead. `delivery/failures` counts and forgets them, and
loads the rows of an earlier broker.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef struct Failure:
    uint64_t msg_id
    uint64_t due_ms       # in broker time; no queue group gets the message before
    uint32_t count        # failed deliveries; 0 = a free slot of the table


cdef class FailedDeliveries:
    cdef Failure* slots             # a hash table
    cdef uint64_t capacity          # a power of two
    cdef readonly uint64_t size
    cdef readonly bint loaded       # all stored rows are here
    # Dead messages, for which there was no room in the mailbox for dead letters: msg_id -> text of +TERM, or
    # None if they failed too often. No client gets them.
    cdef dict dead
    cdef uint64_t retry_ms          # when these are to be moved next
    cdef uint64_t next_row          # where loading goes on: the rows of smaller msg_ids are here

    cdef inline bint is_dead(self, uint64_t msg_id):
        """Whether the message is dead, and waits for room in the mailbox for dead letters."""
        return len(self.dead) > 0 and msg_id in self.dead

    cdef Failure* find(self, uint64_t msg_id) noexcept
    cdef Failure* add(self, uint64_t msg_id) except NULL
    cdef void remove(self, uint64_t msg_id) noexcept
    cdef int grow(self) except -1


cdef bytes failure_key(uint64_t uid, uint64_t msg_id)
cdef bytes pack_failure(const Failure* failure, bint is_dead, bytes text)
cdef bytes unpack_failure(bytes value, Failure* failure, bint* is_dead)
