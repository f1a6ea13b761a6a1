"""Whether a stored message has expired; the contract, and who asks, is in expiry_rule.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.storage.record cimport StoredMessage, read_life
from mq9fast._core.storage.row_format cimport ENDLESS_LIFE, HAS_LIFE


cdef class ExpiryClock:
    """Reads 0 until the clock of the broker is started."""


cdef class ExpiryRule:
    """The rule of one mailbox."""

    cdef bint past_life(self, const StoredMessage* message) except -1:
        """Whether a message that has a life of its own has expired: the shorter of that and `max_age` holds,
        unless its life is endless."""
        cdef uint64_t life_ms = read_life(message)
        if life_ms == ENDLESS_LIFE:
            return False
        return message.created_ms + life_ms < self.clock.now_ms or self.past_max_age(message.created_ms)


cdef bint is_exempt(const StoredMessage* message) except -1:
    """Whether `max_age` does not concern the message."""
    return message.flags & HAS_LIFE and read_life(message) == ENDLESS_LIFE
