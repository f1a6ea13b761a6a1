"""Unmasks payloads (RFC 6455, 5.3): each byte is combined with one of the four bytes of the frame's key."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from mq9fast._core.base.check cimport check


cdef inline uint32_t unmask(char* to, const char* source, Py_ssize_t size, uint32_t key) noexcept:
    """Unmask `size` bytes from `source` to `to`, and return the key for the byte that follows them.

    The key is in the order of the wire. The two places may overlap if `to` is not behind `source`.
    """
    cdef uint64_t word
    cdef uint32_t half
    cdef uint64_t twice = key | <uint64_t>key << 32
    cdef const char* key_bytes = <const char*>&twice
    cdef Py_ssize_t i = 0
    check(size >= 0, b"a payload has no negative size")
    while i + 8 <= size:
        memcpy(&word, source + i, 8)
        word ^= twice
        memcpy(to + i, &word, 8)
        i += 8
    if i + 4 <= size:
        memcpy(&half, source + i, 4)
        half ^= key
        memcpy(to + i, &half, 4)
        i += 4
    while i < size:
        to[i] = <char>(source[i] ^ key_bytes[i & 3])
        i += 1
    memcpy(&half, key_bytes + (size & 3), 4)
    return half


cdef inline void unmask_words(char* to, const char* source, Py_ssize_t size, uint32_t key) noexcept:
    """As `unmask`, and up to seven bytes more on both sides, so that no bytes are left to do one by one.

    Those seven must be readable, and `to` must be eight bytes or more before `source`: then only bytes are
    written that were read before.
    """
    cdef uint64_t word
    cdef uint64_t twice = key | <uint64_t>key << 32
    cdef Py_ssize_t i = 0
    check(to + 8 <= source, b"no byte is overwritten that is still to be read")
    while i < size:
        memcpy(&word, source + i, 8)
        word ^= twice
        memcpy(to + i, &word, 8)
        i += 8
