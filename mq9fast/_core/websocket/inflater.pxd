"""Inflates compressed messages (RFC 7692), piece by piece: no piece is larger than PIECE_BYTES.

A `FrameReader` has one if compression was negotiated. Each message is compressed by itself (no context
takeover), so nothing is kept between messages.
"""


cdef class Inflater:
    cdef Py_ssize_t limit       # bytes that one message may become
    cdef Py_ssize_t inflated    # of this message, so far
    cdef object stream          # zlib's state for this message; None between messages
    cdef bytes waiting          # compressed bytes that are not inflated yet
    cdef bint has_more          # `next_piece` has something to do
    cdef bint ends              # all of the message has been added

    cdef int add(self, bytes compressed) except -1
    cdef int add_end(self) except -1
    cdef bytes next_piece(self)
    cdef void stop(self) noexcept
