"""Tokens of deliveries; the contract is in token.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, put_byte, slice_from, view

cdef enum:
    GROUP_DIGITS = 16
    MAX_DIGITS = 16


cdef char* put_hex(char* at, uint64_t number, int digits) noexcept:
    cdef const char* alphabet = "0123456789abcdef"
    cdef int i
    for i in range(digits):
        at[i] = alphabet[(number >> (4 * (digits - 1 - i))) & 15]
    return at + digits


cdef bint read_hex(View text, uint64_t* number) noexcept:
    cdef Py_ssize_t i
    cdef char c
    number[0] = 0
    if not 0 < text.size <= MAX_DIGITS:
        return False
    for i in range(text.size):
        c = text.data[i]
        if c'0' <= c <= c'9':
            number[0] = number[0] << 4 | <uint64_t>(c - c'0')
        elif c'a' <= c <= c'f':
            number[0] = number[0] << 4 | <uint64_t>(c - c'a' + 10)
        else:
            return False
    return True


cdef char* put_token(char* at, uint64_t group, uint64_t delivery) noexcept:
    """Write a hyphen and the token; returns the end."""
    cdef int digits = 1
    while digits < MAX_DIGITS and delivery >> (4 * digits):
        digits += 1
    return put_hex(put_hex(put_byte(at, c'-'), group, GROUP_DIGITS), delivery, digits)


cdef bint read_token(View text, uint64_t* group, uint64_t* delivery) noexcept:
    """Read a token without the hyphen; false if it is none."""
    if text.size <= GROUP_DIGITS:
        return False
    if not read_hex(view(text.data, GROUP_DIGITS), group):
        return False
    return read_hex(slice_from(text, GROUP_DIGITS), delivery)
