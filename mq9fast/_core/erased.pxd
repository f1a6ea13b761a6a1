"""Messages that a batch deletes, by the rows that hold them: what is left of a row, or its end."""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.record cimport StoredMessage
from mq9fast._core.run cimport Run, Spot


cdef class ErasedRow:
    """What is deleted of one row, before this batch and by it."""
    cdef uint64_t uid
    cdef int rank
    cdef uint64_t row_id
    cdef int count                # messages in the row
    cdef uint64_t deleted         # the set of them
    cdef uint32_t dead_bytes      # what those take that the row still holds
    cdef bint marked              # the store has a mark
    cdef bint changed             # by this batch

    cdef inline bint add(self, int index) noexcept:
        """Delete a message; false if it is deleted already."""
        if (self.deleted >> index) & 1:
            return False
        self.deleted |= <uint64_t>1 << index
        self.changed = True
        return True


cdef class Erased:
    cdef dict rows                # ErasedRow by the key of its mark, or its message
    cdef ErasedRow last           # the one asked for before
    cdef Run found                # what `find` found before, of the rank of the mailbox
    cdef uint64_t found_uid
    cdef int found_rank

    cdef ErasedRow row(self, uint64_t uid, int rank, const Spot* spot, object store)
    cdef Run look(self, uint64_t uid, int rank, uint64_t msg_id, object store)
    cdef bint find(
        self, uint64_t uid, int rank, uint64_t msg_id, object store, Spot* spot, StoredMessage* message
    ) except -1
    cdef int write(self, object put, object delete) except -1
    cdef void clear(self) noexcept
