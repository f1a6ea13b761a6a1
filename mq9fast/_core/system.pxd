"""What is asked of the system in every turn, without a detour by way of Python."""

from libc.stdint cimport uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int poll(pollfd* descriptors, unsigned long count, int timeout_ms)


cdef inline uint64_t unix_ms() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <uint64_t>now.tv_sec * 1000 + <uint64_t>now.tv_nsec // 1_000_000


cdef inline bint is_readable(int descriptor) noexcept:
    """Whether there is something to read; an error counts, as reading tells which."""
    cdef pollfd asked
    asked.fd = descriptor
    asked.events = <short>POLLIN
    return poll(&asked, 1, 0) != 0
