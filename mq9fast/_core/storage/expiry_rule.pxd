"""Whether a stored message has expired: by the `max_age` of its mailbox, or by a life of its own.

Everything that reads messages for clients asks an ExpiryRule: the readers of record batches, live pushes, and
queue groups that give out a message again. A mailbox in which no message can expire has no rule.
"""

from libc.stdint cimport uint64_t

from mq9fast._core.storage.record cimport StoredMessage
from mq9fast._core.storage.row_format cimport HAS_LIFE


cdef class ExpiryClock:
    # Broker time up to which everything that is due has passed. All rules of a broker share one clock.
    cdef uint64_t now_ms


cdef class ExpiryRule:
    cdef ExpiryClock clock
    cdef uint64_t max_age_ms      # of the mailbox; 0 = no limit

    cdef bint past_life(self, const StoredMessage* message) except -1

    cdef inline bint past_max_age(self, uint64_t created_ms) noexcept:
        # Both times are rounded down, so the same millisecond may be too early.
        return self.max_age_ms != 0 and created_ms + self.max_age_ms < self.clock.now_ms

    cdef inline bint has_expired(self, const StoredMessage* message) except -1:
        """Whether nobody may see the message any more. CorruptRecord if its attributes are wrong."""
        if message.flags & HAS_LIFE:
            return self.past_life(message)
        return self.past_max_age(message.created_ms)


cdef bint is_exempt(const StoredMessage* message) except -1
