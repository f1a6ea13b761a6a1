"""Borrowed bytes, and functions to compare, hash, copy and format them. All of the core is built on it.

DANGER: a View owns nothing. It is valid until the buffer that it points into is reused. For a parsed frame
that is when the handler of the operation returns. To keep the bytes longer, copy them with `to_bytes`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from mq9fast._core.base.check cimport check


# Its name in C is for protocol/literals.pxd.
cdef struct View "mq9fast_view":
    const char* data
    Py_ssize_t size


cdef inline View view(const char* data, Py_ssize_t size) noexcept:
    cdef View v
    check(size >= 0, b"a view has no negative size")
    v.data = data
    v.size = size
    return v


cdef inline View view_of(bytes owner) noexcept:
    return view(PyBytes_AS_STRING(owner), PyBytes_GET_SIZE(owner))


cdef inline View empty_view() noexcept:
    return view(NULL, 0)


cdef inline View slice_from(View v, Py_ssize_t start) noexcept:
    check(0 <= start <= v.size, b"a slice begins in its view")
    return view(v.data + start, v.size - start)


cdef inline bytes to_bytes(View v):
    return PyBytes_FromStringAndSize(v.data, v.size)


cdef inline bint same(View a, View b) noexcept:
    return a.size == b.size and memcmp(a.data, b.data, <size_t>a.size) == 0


cdef inline bint starts_with(View v, View prefix) noexcept:
    return v.size >= prefix.size and memcmp(v.data, prefix.data, <size_t>prefix.size) == 0


cdef inline Py_ssize_t last_dot(View v) noexcept:
    """Index of the last '.', or -1."""
    cdef Py_ssize_t i = v.size - 1
    while i >= 0 and v.data[i] != c'.':
        i -= 1
    return i


cdef inline uint64_t hash_view(View v, uint64_t seed) noexcept:
    """A seeded hash of the bytes. A client that does not know the seed cannot choose keys that collide."""
    cdef uint64_t h = seed ^ (<uint64_t>v.size * <uint64_t>0x9E3779B97F4A7C15)
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    while i + 8 <= v.size:
        memcpy(&word, v.data + i, 8)
        h = (h ^ word) * <uint64_t>0xD6E8FEB86659FD93
        h ^= h >> 32
        i += 8
    if i < v.size:
        word = 0
        memcpy(&word, v.data + i, <size_t>(v.size - i))
        h = (h ^ word) * <uint64_t>0xD6E8FEB86659FD93
        h ^= h >> 32
    h *= <uint64_t>0xD6E8FEB86659FD93
    return h ^ (h >> 32)


cdef inline bint read_decimal(View v, uint64_t ceiling, uint64_t* number) noexcept:
    """Parse 1 to 19 digits as a number of at most `ceiling`; false for anything else."""
    cdef uint64_t n = 0
    cdef Py_ssize_t i
    cdef char c
    if v.size < 1 or v.size > 19:
        return False
    for i in range(v.size):
        c = v.data[i]
        if c < c'0' or c > c'9':
            return False
        n = n * 10 + <uint64_t>(c - c'0')
    if n > ceiling:
        return False
    number[0] = n
    return True


cdef inline char* put(char* at, View v) noexcept:
    """Copy `v` to `at` and return the end of the copy. An empty `v` may have a NULL pointer."""
    if v.size:
        memcpy(at, v.data, <size_t>v.size)
    return at + v.size


cdef inline char* put_byte(char* at, char c) noexcept:
    at[0] = c
    return at + 1


cdef inline char* put_crlf(char* at) noexcept:
    at[0] = c'\r'
    at[1] = c'\n'
    return at + 2


cdef inline char* put_decimal(char* at, uint64_t number) noexcept:
    """Write `number` as at most 20 decimal digits and return the end."""
    cdef char digits[20]
    cdef int n = 0
    while True:
        digits[n] = <char>(c'0' + <int>(number % 10))
        number = number / 10
        n += 1
        if number == 0:
            break
    while n:
        n -= 1
        at[0] = digits[n]
        at += 1
    return at
