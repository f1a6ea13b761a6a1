"""Checks that text is UTF-8, piece by piece: a character may be split between pieces (RFC 6455, 8.1)."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef struct Utf8Check:
    int missing             # bytes that the last character still lacks
    unsigned char least     # the next byte of it must be from here
    unsigned char most      # to here


cdef inline bint begin_character(Utf8Check* state, unsigned char first) noexcept:
    """Whether a character may begin with this byte, which is not ASCII. Longer forms than necessary,
    surrogates, and what is above U+10FFFF show in the second byte."""
    state.least, state.most = 0x80, 0xBF
    if 0xC2 <= first <= 0xDF:
        state.missing = 1
    elif 0xE0 <= first <= 0xEF:
        state.missing = 2
        if first == 0xE0:
            state.least = 0xA0
        elif first == 0xED:
            state.most = 0x9F
    elif 0xF0 <= first <= 0xF4:
        state.missing = 3
        if first == 0xF0:
            state.least = 0x90
        elif first == 0xF4:
            state.most = 0x8F
    else:
        return False
    return True


cdef inline bint continue_utf8(Utf8Check* state, const char* data, Py_ssize_t size) noexcept:
    """Whether the text so far, with these bytes, is the beginning of valid UTF-8."""
    cdef uint64_t word
    cdef unsigned char byte
    cdef Py_ssize_t i = 0
    while i < size:
        if state.missing:
            byte = <unsigned char>data[i]
            if not state.least <= byte <= state.most:
                return False
            state.least, state.most = 0x80, 0xBF
            state.missing -= 1
            i += 1
            continue
        # Eight bytes of ASCII at a time.
        while i + 8 <= size:
            memcpy(&word, data + i, 8)
            if word & <uint64_t>0x8080808080808080:
                break
            i += 8
        if i < size:
            byte = <unsigned char>data[i]
            if byte >= 0x80 and not begin_character(state, byte):
                return False
            i += 1
    return True
