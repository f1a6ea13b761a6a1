"""Reads the WebSocket frames of a client (RFC 6455): data frames are unmasked in place, control frames kept.

A `Session` over WebSocket has one. What it reads lies in the session's read buffer, and the payloads of data
frames, moved together, replace it there: for the parser of NATS they are one stream of bytes. A frame, its
header too, may be split between any two reads.

A compressed message cannot replace itself there. `read` stops behind what a read has of one, and the caller
takes its pieces before it reads on.
"""

from libc.stdint cimport uint32_t, uint64_t

from mq9fast._core.websocket.frames cimport MAX_CONTROL_BYTES, MAX_HEADER_BYTES, Opcode
from mq9fast._core.websocket.inflater cimport Inflater
from mq9fast._core.websocket.utf8 cimport Utf8Check


cdef class FrameReader:
    # 0 until the client sends a close frame or breaks a rule. Then the code and the text (UTF-8) of the close
    # frame that is due, and nothing more is read.
    cdef readonly int close_code
    cdef readonly bytes close_text

    # The last ping that is not answered. An earlier one need not be (RFC 6455, 5.5.3).
    cdef bint ping_waits
    cdef char ping[MAX_CONTROL_BYTES]
    cdef Py_ssize_t ping_size

    # The frame that is being read.
    cdef bint in_frame
    cdef bint is_final
    cdef Opcode opcode
    cdef uint64_t left                      # bytes of its payload that are still to come
    cdef uint32_t key                       # for the next of them, in the order of the wire
    cdef char header[MAX_HEADER_BYTES]      # the received part of an unfinished header
    cdef Py_ssize_t header_size
    cdef char control[MAX_CONTROL_BYTES]    # the received payload of a control frame
    cdef Py_ssize_t control_size

    # The message that is being read.
    cdef bint in_message
    cdef bint is_text
    cdef bint is_compressed
    cdef Utf8Check text
    cdef Inflater inflater                  # None if compression was not negotiated

    # Read the first `used` of `size` bytes at `data`. Returns how many bytes of payload are at `data` now.
    cdef Py_ssize_t used
    cdef Py_ssize_t read(self, char* data, Py_ssize_t size) except -1

    # Pieces of a compressed message that are payload too, while `has_pieces`.
    cdef bytes next_piece(self)
    cdef inline bint has_pieces(self) noexcept:
        return self.inflater is not None and self.inflater.has_more

    cdef int allow_compression(self, Py_ssize_t limit) except -1
    cdef inline bint is_too_big(self) noexcept:
        return self.inflater is not None and self.inflater.inflated > self.inflater.limit

    cdef Py_ssize_t read_small(self, char** to, const char* data, Py_ssize_t size) noexcept
    cdef Py_ssize_t read_header(self, const char* data, Py_ssize_t size) except -1
    cdef Py_ssize_t parse_header(self, const unsigned char* header, Py_ssize_t size) except -1
    cdef bint check_start(self, int opcode, bint is_final, uint64_t payload) except *
    cdef bint may_be_compressed(self, unsigned char first) noexcept
    cdef int begin_frame(self, Opcode opcode, bint is_final, bint is_compressed) except -1
    cdef int check_text(self, const char* data, Py_ssize_t size, bint ends) except -1
    cdef int end_frame(self) except -1
    cdef int receive_close(self) except -1
    cdef int end(self, int code, bytes text) except -1
