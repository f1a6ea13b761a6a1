"""The broker's own time, which lives are measured by. It goes on steadily, wherever the wall clock is set."""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.clock cimport steady_ns


cdef class BrokerTime:
    cdef uint64_t begun_ms            # broker time when it began to count
    cdef uint64_t begun_ns            # and the steady clock
    cdef readonly int64_t ahead_ms    # of broker time, the wall clock

    cdef inline uint64_t read(self) noexcept:
        return self.begun_ms + (steady_ns() - self.begun_ns) // 1_000_000
