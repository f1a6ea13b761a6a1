"""SipHash-2-4 with 128 bits: without its key, nobody can find two texts with the same hash.

What is stored under a hash is found again by other processes on this machine, if they have the key.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from mq9fast._core.base.view cimport View


cdef struct Hash128:
    uint64_t low
    uint64_t high


cdef struct SipState:
    uint64_t a
    uint64_t b
    uint64_t c
    uint64_t d


cdef inline uint64_t rotated(uint64_t x, int bits) noexcept:
    return (x << bits) | (x >> (64 - bits))


cdef inline void sip_rounds(SipState* s, int count) noexcept:
    cdef int _i
    for _i in range(count):
        s.a += s.b
        s.c += s.d
        s.b = rotated(s.b, 13) ^ s.a
        s.d = rotated(s.d, 16) ^ s.c
        s.a = rotated(s.a, 32)
        s.c += s.b
        s.a += s.d
        s.b = rotated(s.b, 17) ^ s.c
        s.d = rotated(s.d, 21) ^ s.a
        s.c = rotated(s.c, 32)


cdef inline void sip_word(SipState* s, uint64_t word) noexcept:
    s.d ^= word
    sip_rounds(s, 2)
    s.a ^= word


cdef inline Hash128 sip_hash(View text, Hash128 key) noexcept:
    cdef SipState s
    cdef Hash128 found
    cdef uint64_t word
    cdef Py_ssize_t i = 0
    s.a = <uint64_t>0x736F6D6570736575 ^ key.low
    s.b = <uint64_t>0x646F72616E646F6D ^ key.high ^ 0xEE
    s.c = <uint64_t>0x6C7967656E657261 ^ key.low
    s.d = <uint64_t>0x7465646279746573 ^ key.high
    while i + 8 <= text.size:
        memcpy(&word, text.data + i, 8)
        sip_word(&s, word)
        i += 8
    word = 0
    if i < text.size:
        memcpy(&word, text.data + i, <size_t>(text.size - i))
    sip_word(&s, word | <uint64_t>text.size << 56)
    s.c ^= 0xEE
    sip_rounds(&s, 4)
    found.low = s.a ^ s.b ^ s.c ^ s.d
    s.b ^= 0xDD
    sip_rounds(&s, 4)
    found.high = s.a ^ s.b ^ s.c ^ s.d
    return found
