"""The broker's own clock, which `server/timekeeping.py` starts; the contract is in broker_time.pxd."""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.clock cimport steady_ns, unix_ms


cdef class BrokerTime:
    """A clock in milliseconds. Before `start` is called it agrees with the wall clock."""

    def __cinit__(self):
        self.start_ms = unix_ms()
        self.start_steady_ns = steady_ns()

    @property
    def now_ms(self) -> int:
        """The current broker time, in milliseconds."""
        return self.read()

    def start(self, uint64_t now_ms, uint64_t wall_ms) -> None:
        """Set broker time to `now_ms`. The wall clock shows `wall_ms` (Unix milliseconds) at this moment."""
        self.start_ms = now_ms
        self.start_steady_ns = steady_ns()
        self.wall_offset_ms = <int64_t>(wall_ms - now_ms)

    def wall_ms(self, uint64_t broker_ms) -> int:
        """Convert broker time to Unix milliseconds, by the wall clock as it is set now. For display only."""
        return max(<int64_t>broker_ms + self.wall_offset_ms, 0)

    def set_wall_offset(self, int64_t offset_ms) -> None:
        """Note that the wall clock was set: it is now `offset_ms` ahead of broker time."""
        self.wall_offset_ms = offset_ms


def read_wall_ms() -> int:
    """The system's wall clock, in Unix milliseconds."""
    return unix_ms()
