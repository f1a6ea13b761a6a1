"""Times as clients write them in headers: RFC 3339, such as `2026-01-31T12:00:00.5Z`."""

from libc.stdint cimport int64_t

from mq9fast._core.base.view cimport View


cdef bint read_rfc3339(View text, int64_t* unix_ms) noexcept
