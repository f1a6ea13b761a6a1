"""Reads the WebSocket frames of a client; the contract is in frame_reader.pxd."""

import zlib

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from mq9fast._core.base.check cimport check
from mq9fast._core.websocket.frames cimport (
    BINARY, CLOSE, COMPRESSED, CONTINUATION, FIN, INVALID_DATA, KEY_BYTES, MASK, MAX_CONTROL_BYTES,
    MAX_HEADER_BYTES, NO_STATUS, OPCODE, PING, PONG, PROTOCOL_ERROR, RESERVED, SIZE, SIZE_IN_2_BYTES,
    TEXT, TOO_BIG, Opcode
)
from mq9fast._core.websocket.inflater cimport Inflater
from mq9fast._core.websocket.unmask cimport unmask, unmask_words
from mq9fast._core.websocket.utf8 cimport continue_utf8

cdef enum:
    # The header of a frame with at most as many bytes.
    SMALL_HEADER_BYTES = 6
    MAX_SMALL_BYTES = 125
    WORD_BYTES = 8
    # Codes of close frames that are assigned or free to use; all others are refused.
    FIRST_CODE = 1000
    LAST_ASSIGNED_CODE = 1013
    FIRST_FREE_CODE = 3000
    LAST_FREE_CODE = 4999
    # Within the assigned codes: reserved, and two that are never sent.
    FIRST_UNSENT_CODE = 1004
    LAST_UNSENT_CODE = 1006


cdef bint may_be_sent(int code) noexcept:
    """Whether a client may send this code in a close frame (RFC 6455, 7.4)."""
    if FIRST_FREE_CODE <= code <= LAST_FREE_CODE:
        return True
    return FIRST_CODE <= code <= LAST_ASSIGNED_CODE and not FIRST_UNSENT_CODE <= code <= LAST_UNSENT_CODE


cdef inline uint64_t big_endian(const unsigned char* at, int size) noexcept:
    cdef uint64_t number = 0
    cdef int i
    for i in range(size):
        number = number << 8 | at[i]
    return number


cdef class FrameReader:
    """What one client has sent: the frame, and the message, that its next byte belongs to."""

    cdef int allow_compression(self, Py_ssize_t limit) except -1:
        """Accept compressed messages that become at most `limit` bytes."""
        self.inflater = Inflater(limit)
        return 0

    cdef Py_ssize_t read(self, char* data, Py_ssize_t size) except -1:
        cdef char* at = data
        cdef char* end = data + size
        cdef char* out = data
        cdef Py_ssize_t count
        while at < end and not self.close_code and not self.has_pieces():
            if not self.in_frame:
                at += self.read_small(&out, at, end - at)
                if at == end:
                    break
                at += self.read_header(at, end - at)
                if not self.in_frame:
                    continue
            count = end - at
            if <uint64_t>count > self.left:
                count = <Py_ssize_t>self.left
            if self.opcode >= CLOSE:
                check(self.control_size + count <= MAX_CONTROL_BYTES, b"a control frame is short")
                self.key = unmask(self.control + self.control_size, at, count, self.key)
                self.control_size += count
            elif self.is_compressed:
                self.key = unmask(at, at, count, self.key)
                self.inflater.add(at[:count])
            else:
                check(out <= at, b"a payload moves to the front")
                self.key = unmask(out, at, count, self.key)
                if self.is_text:
                    self.check_text(out, count, False)
                    if self.close_code:
                        break
                out += count
            at += count
            self.left -= <uint64_t>count
            if self.left == 0:
                self.end_frame()
        self.used = at - data
        return out - data

    cdef bytes next_piece(self):
        cdef bytes piece = b""
        try:
            piece = self.inflater.next_piece()
        except zlib.error:
            self.end(INVALID_DATA, b"a compressed message cannot be inflated")
        if self.is_too_big():
            self.end(TOO_BIG, b"Maximum Message Payload Exceeded")
        elif self.is_text:
            self.check_text(piece, len(piece), not self.in_message and not self.inflater.has_more)
        if self.close_code:
            self.inflater.stop()
            return b""
        return piece

    cdef int check_text(self, const char* data, Py_ssize_t size, bint ends) except -1:
        """Check the next bytes of a text message. `ends`: the message ends with them."""
        if not continue_utf8(&self.text, data, size) or (ends and self.text.missing):
            self.end(INVALID_DATA, b"a text message is not UTF-8")
        return 0

    cdef Py_ssize_t read_small(self, char** to, const char* data, Py_ssize_t size) noexcept:
        """Read the small frames at `data` that are whole binary messages, as most are, up to the first other
        one. Moves `to` behind their payloads. Returns how many bytes the frames have."""
        cdef char* out = to[0]
        cdef const char* at = data
        cdef const char* end = data + size
        cdef Py_ssize_t payload
        cdef uint32_t key
        if self.in_message or self.header_size:
            return 0
        while end - at >= SMALL_HEADER_BYTES and <unsigned char>at[0] == FIN | BINARY:
            payload = <unsigned char>at[1] ^ MASK
            if payload > MAX_SMALL_BYTES or payload > end - at - SMALL_HEADER_BYTES:
                break
            memcpy(&key, at + 2, KEY_BYTES)
            at += SMALL_HEADER_BYTES
            if at - out >= WORD_BYTES and end - at >= payload + WORD_BYTES:
                unmask_words(out, at, payload, key)
            else:
                unmask(out, at, payload, key)
            out += payload
            at += payload
        to[0] = out
        return at - data

    cdef Py_ssize_t read_header(self, const char* data, Py_ssize_t size) except -1:
        """Read a header, or what there is of it. Returns how many bytes of `data` belong to it."""
        cdef Py_ssize_t before = self.header_size
        cdef Py_ssize_t more, used
        if before == 0 and size >= MAX_HEADER_BYTES:
            return self.parse_header(<const unsigned char*>data, size)
        more = min(size, MAX_HEADER_BYTES - before)
        memcpy(self.header + before, data, <size_t>more)
        used = self.parse_header(<const unsigned char*>self.header, before + more)
        if used == 0:
            self.header_size = before + more
            return more
        self.header_size = 0
        check(used > before, b"an unfinished header ends in this read")
        return used - before

    cdef Py_ssize_t parse_header(self, const unsigned char* header, Py_ssize_t size) except -1:
        """Parse a header, and begin its frame. Returns its size, 0 if it is not complete yet."""
        cdef Py_ssize_t at = 2
        cdef uint64_t payload
        if size < 2:
            return 0
        payload = header[1] & SIZE
        if payload >= SIZE_IN_2_BYTES:
            at = 4 if payload == SIZE_IN_2_BYTES else 10
        if not self.check_start(header[0] & OPCODE, header[0] & FIN != 0, payload):
            return size
        if size < at:
            return 0
        if at > 2:
            payload = big_endian(header + 2, <int>at - 2)
            if payload < SIZE_IN_2_BYTES or (at > 4 and (payload < 1 << 16 or payload >> 63)):
                self.end(PROTOCOL_ERROR, b"the size of a frame is not in its shortest form")
                return size
        if header[0] & RESERVED and not self.may_be_compressed(header[0]):
            self.end(PROTOCOL_ERROR, b"a reserved bit is set")
            return size
        if not header[1] & MASK:
            self.end(PROTOCOL_ERROR, b"a frame is not masked")
            return size
        if size < at + KEY_BYTES:
            return 0
        memcpy(&self.key, header + at, KEY_BYTES)
        self.left = payload
        self.begin_frame(<Opcode>(header[0] & OPCODE), header[0] & FIN != 0, header[0] & RESERVED != 0)
        return at + KEY_BYTES

    cdef bint check_start(self, int opcode, bint is_final, uint64_t payload) except *:
        """Check the first two bytes of a header."""
        if opcode > PONG or BINARY < opcode < CLOSE:
            self.end(PROTOCOL_ERROR, b"the opcode of a frame is unknown")
        elif opcode >= CLOSE and not is_final:
            self.end(PROTOCOL_ERROR, b"a control frame is fragmented")
        elif opcode >= CLOSE and payload > MAX_CONTROL_BYTES:
            self.end(PROTOCOL_ERROR, b"a control frame is too long")
        return self.close_code == 0

    cdef bint may_be_compressed(self, unsigned char first) noexcept:
        """Whether the first byte of a frame says that a compressed message begins, and one may."""
        if self.inflater is None or first & RESERVED != COMPRESSED:
            return False
        return first & OPCODE == TEXT or first & OPCODE == BINARY

    cdef int begin_frame(self, Opcode opcode, bint is_final, bint is_compressed) except -1:
        """Begin a frame of the message that is open, or of a new one, or a control frame."""
        if opcode == CONTINUATION:
            if not self.in_message:
                return self.end(PROTOCOL_ERROR, b"a continuation frame continues no message")
        elif opcode < CLOSE:
            if self.in_message:
                return self.end(PROTOCOL_ERROR, b"a message begins before the last one ended")
            self.in_message = True
            self.is_text = opcode == TEXT
            self.is_compressed = is_compressed
        self.opcode = opcode
        self.is_final = is_final
        self.control_size = 0
        self.in_frame = True
        return self.end_frame() if self.left == 0 else 0

    cdef int end_frame(self) except -1:
        """All of the frame's payload was read."""
        self.in_frame = False
        if self.opcode == CLOSE:
            return self.receive_close()
        if self.opcode == PING:
            memcpy(self.ping, self.control, <size_t>self.control_size)
            self.ping_size = self.control_size
            self.ping_waits = True
        elif self.opcode < CLOSE and self.is_final:
            self.in_message = False
            if self.is_compressed:
                return self.inflater.add_end()
            if self.is_text:
                return self.check_text(NULL, 0, True)
        return 0

    cdef int receive_close(self) except -1:
        """The client sent a close frame. It is answered with the same code and text (RFC 6455, 5.5.1)."""
        cdef bytes payload = self.control[:self.control_size]
        cdef int code
        if not payload:
            return self.end(NO_STATUS, b"")
        code = <int>big_endian(<const unsigned char*>self.control, 2) if len(payload) > 1 else 0
        if not may_be_sent(code):
            return self.end(PROTOCOL_ERROR, b"the code of a close frame is invalid")
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            return self.end(INVALID_DATA, b"the text of a close frame is not UTF-8")
        return self.end(code, payload[2:])

    cdef int end(self, int code, bytes text) except -1:
        """Read nothing more. `code` and `text` are for the close frame."""
        if not self.close_code:
            self.close_code = code
            self.close_text = text
        return 0
