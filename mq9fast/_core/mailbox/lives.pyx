"""When the messages of one mailbox expire; the contract is in lives.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.protocol.literals cimport RANKS
from mq9fast._core.storage.expiry_rule cimport ExpiryClock, ExpiryRule


cdef class Lives(ExpiryRule):
    """One for each mailbox that has max_age, or messages with a life of their own."""

    cdef void set_max_age(self, uint64_t max_age_ms) noexcept:
        cdef int rank
        self.max_age_ms = max_age_ms
        for rank in range(RANKS):
            self.passed[rank] = 0


cdef Lives new_lives(ExpiryClock clock, uint64_t max_age_ms):
    cdef Lives lives = Lives()
    lives.clock = clock
    lives.front.slot = -1
    lives.set_max_age(max_age_ms)
    return lives
