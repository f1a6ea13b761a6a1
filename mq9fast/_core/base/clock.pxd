"""Clocks and poll(2), called directly in C because every turn of the event loop needs them.

`Engine`, `Session` and the clients' output accounting call these functions; nothing here keeps state.
"""

from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec
from posix.types cimport clockid_t

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int poll(pollfd* descriptors, unsigned long count, int timeout_ms)


cdef extern from *:
    """
    #include <time.h>
    /* CLOCK_BOOTTIME counts the time that the machine is suspended. Not every system has it. */
    #ifdef CLOCK_BOOTTIME
    #define MQ9FAST_STEADY_CLOCK CLOCK_BOOTTIME
    #else
    #define MQ9FAST_STEADY_CLOCK CLOCK_MONOTONIC
    #endif
    """
    const clockid_t MQ9FAST_STEADY_CLOCK


cdef inline uint64_t unix_ms() noexcept:
    """The wall clock. It may be set at any time, so it is for display and never for measuring."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <uint64_t>now.tv_sec * 1000 + <uint64_t>now.tv_nsec // 1_000_000


cdef inline uint64_t steady_ns() noexcept:
    """A clock that is never set and that counts the time that the machine is suspended."""
    cdef timespec now
    clock_gettime(MQ9FAST_STEADY_CLOCK, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + <uint64_t>now.tv_nsec


cdef inline uint64_t monotonic_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + <uint64_t>now.tv_nsec


cdef inline bint is_readable(int descriptor) noexcept nogil:
    """Whether a read would not block. An error counts as readable, because the read then reports it."""
    cdef pollfd polled
    polled.fd = descriptor
    polled.events = <short>POLLIN
    return poll(&polled, 1, 0) != 0


cdef inline void poll_busily(int descriptor, uint64_t max_ns) noexcept nogil:
    """Spin until the descriptor is readable, for at most `max_ns`. Other processes may run in between."""
    cdef uint64_t end_ns = monotonic_ns() + max_ns
    while not is_readable(descriptor) and monotonic_ns() < end_ns:
        sched_yield()
