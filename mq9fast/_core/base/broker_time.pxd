"""The broker's own clock: milliseconds that never jump when the wall clock is set.

Deadlines of mailboxes and the times of stored messages are in broker time. `Engine` reads it each turn;
`server/timekeeping.py` starts it and keeps track of its difference to the wall clock.
"""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.clock cimport steady_ns


cdef class BrokerTime:
    cdef uint64_t start_ms            # broker time at the start
    cdef uint64_t start_steady_ns     # the steady clock at the start
    cdef int64_t wall_offset_ms       # wall clock minus broker time

    cdef inline uint64_t read(self) noexcept:
        return self.start_ms + (steady_ns() - self.start_steady_ns) // 1_000_000
