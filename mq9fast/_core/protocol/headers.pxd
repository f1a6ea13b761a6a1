"""A fast search for a header name in a block of NATS headers, without splitting the block into lines.

The publish path calls it for each message with headers, to see whether it asks for tracing or for JetStream.
"""

from libc.string cimport memchr

from mq9fast._core.base.view cimport View


cdef inline bint begins(const char* at, Py_ssize_t size, View prefix) noexcept:
    """Whether the bytes begin with `prefix` in any letter case. `prefix` must be in lower case."""
    cdef Py_ssize_t i
    cdef char c
    if size < prefix.size:
        return False
    for i in range(prefix.size):
        c = at[i]
        if c'A' <= c <= c'Z':
            c |= 0x20
        if c != prefix.data[i]:
            return False
    return True


cdef inline bint has_name_with(View block, View prefix) noexcept:
    """Whether any line after the first begins with `prefix` in any letter case. `prefix` is in lower case."""
    cdef const char* at = block.data
    cdef const char* end = block.data + block.size
    while at < end:
        at = <const char*>memchr(at, c'\n', <size_t>(end - at))
        if at is NULL:
            return False
        at += 1
        if begins(at, end - at, prefix):
            return True
    return False
