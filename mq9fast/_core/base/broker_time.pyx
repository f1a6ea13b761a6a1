"""The broker's own time; see broker_time.pxd."""

from libc.stdint cimport int64_t, uint64_t

from mq9fast._core.base.clock cimport steady_ns, unix_ms


cdef class BrokerTime:
    """Counts milliseconds from where `begin` says; until then, from the wall clock's."""

    def __cinit__(self):
        self.begun_ms = unix_ms()
        self.begun_ns = steady_ns()

    @property
    def now_ms(self) -> int:
        """Broker time, in milliseconds."""
        return self.read()

    def begin(self, uint64_t now_ms, uint64_t wall_ms) -> None:
        """Go on from `now_ms`, while the wall clock shows `wall_ms`, Unix milliseconds."""
        self.begun_ms = now_ms
        self.begun_ns = steady_ns()
        self.ahead_ms = <int64_t>(wall_ms - now_ms)

    def wall_ms(self, uint64_t broker_ms) -> int:
        """A moment of broker time as the wall clock is set now, Unix milliseconds: for people to read."""
        return max(<int64_t>broker_ms + self.ahead_ms, 0)

    def follow(self, int64_t ahead_ms) -> None:
        """The wall clock was set: it is so far ahead from here on."""
        self.ahead_ms = ahead_ms


def read_wall_ms() -> int:
    """The system's wall clock, in Unix milliseconds."""
    return unix_ms()
