"""Reads the headers of a MSG that are times: how long the message lives, and when it takes its place.

`MailboxWriter` calls `read_times` for each MSG that has headers. Nothing here has any other effect.
"""

from libc.stdint cimport int64_t

from mq9fast._core.protocol.headers cimport MessageHeaders
from mq9fast._core.storage.record cimport NewMessage
from mq9fast._core.storage.row_format cimport NUMBER_BYTES


cdef extern from *:
    """
    #define MQ9FAST_TIMES_BYTES (1 * MQ9FAST_BYTES_OF(mq9fast_number))
    """
    const Py_ssize_t TIMES_BYTES "MQ9FAST_TIMES_BYTES"    # of the attributes that `read_times` writes


cdef bint read_times(
    const MessageHeaders* headers, int64_t wall_ms, NewMessage* message, char* attributes
) noexcept
