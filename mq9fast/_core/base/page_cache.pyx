"""The system's memory of files; the contract is in page_cache.pxd. Only on Linux it does anything."""

from libc.errno cimport EINVAL, ENOSYS, ESPIPE, errno

import os

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <fcntl.h>
    #ifdef __linux__
    #define write_range(descriptor, at, size) sync_file_range(descriptor, at, size, SYNC_FILE_RANGE_WRITE)
    #define forget_range(descriptor, at, size) posix_fadvise(descriptor, at, size, POSIX_FADV_DONTNEED)
    #else
    #define write_range(descriptor, at, size) (errno = ENOSYS, -1)
    #define forget_range(descriptor, at, size) 0
    #endif
    """
    int write_range(int descriptor, long long at, long long size) nogil
    int forget_range(int descriptor, long long at, long long size) nogil

cdef enum:
    # The system takes about as long for one as the event loop for a commit group.
    WRITTEN_BYTES = 1 << 20
    FORGOTTEN_BYTES = 2 << 20


cdef int write_out(int descriptor, long long at, long long end) noexcept nogil:
    """Have the system begin to write the bytes from `at` to `end` to the disk. An fsync has to follow, which
    waits. Returns the error number of a failure, after which an fsync may succeed although bytes are lost; or
    0, also if only an fsync can write this file."""
    while at < end:
        if write_range(descriptor, at, min(<long long>WRITTEN_BYTES, end - at)):
            return 0 if errno in (ENOSYS, ESPIPE, EINVAL) else errno
        at += WRITTEN_BYTES
    return 0


def begin_writing(int descriptor, long long at, long long end) -> None:
    """`write_out`, without the interpreter. Raises OSError."""
    cdef int failure
    with nogil:
        failure = write_out(descriptor, at, end)
    if failure:
        raise OSError(failure, os.strerror(failure))


def forget_pages(int descriptor) -> None:
    """Have the system forget what it keeps of a file. What is not on the disk yet stays. Raises OSError."""
    cdef long long at = 0
    cdef long long end = os.fstat(descriptor).st_size
    cdef int failure = 0
    with nogil:
        while at < end and not failure:
            failure = forget_range(descriptor, at, FORGOTTEN_BYTES)
            at += FORGOTTEN_BYTES
    if failure:
        raise OSError(failure, os.strerror(failure))
