"""The messages of one mailbox with failed deliveries: how many, and until when each waits.

A delivery to a member of a queue group fails if it ends without an answer. Each such message has a small row
in the store. `delivery/failures` counts and forgets them, and loads the rows of an earlier broker.
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
    cdef dict terminated            # msg_id -> text of +TERM: to be dead letters, whatever their count
    cdef uint64_t next_row          # where loading goes on: the rows of smaller msg_ids are here

    cdef Failure* find(self, uint64_t msg_id) noexcept
    cdef Failure* add(self, uint64_t msg_id) except NULL
    cdef void remove(self, uint64_t msg_id) noexcept
    cdef bytes text_of(self, uint64_t msg_id)
    cdef int grow(self) except -1


cdef bytes failure_key(uint64_t uid, uint64_t msg_id)
cdef bytes pack_failure(const Failure* failure, bytes text)
cdef bytes unpack_failure(bytes value, Failure* failure)
