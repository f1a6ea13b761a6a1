"""Writes WebSocket frames; the contract is in frame_writer.pxd."""

import zlib

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memmove

from mq9fast._core.base.check cimport check
from mq9fast._core.base.view cimport view, put
from mq9fast._core.protocol.write_buffer cimport WriteBuffer, start_of
from mq9fast._core.websocket.frames cimport (
    BINARY, COMPRESSED, FIN, MAX_CONTROL_BYTES, MAX_HEADER_BYTES, PONG, SIZE_IN_2_BYTES, SIZE_IN_8_BYTES
)

cdef enum:
    # Space for the header in front of a payload of 126 to 65,535 bytes. Others are moved when the frame ends:
    # shorter ones cost little, and longer ones much more to send than to move.
    HEADER_SPACE = 4
    # As nats-server does not, the broker does not compress fewer bytes. More would hold up other clients.
    MIN_COMPRESSED_BYTES = 64
    MAX_COMPRESSED_BYTES = 1 << 20
    # What a flush ends with; the receiver adds it again.
    END_BYTES = 4
    FASTEST = 1

cdef int WINDOW_BITS = -15      # the largest window, without zlib's own header


cdef inline Py_ssize_t header_bytes(Py_ssize_t size) noexcept:
    """The size of the header in front of a payload."""
    if size < SIZE_IN_2_BYTES:
        return 2
    return 4 if size < 1 << 16 else 10


cdef inline char* put_header(char* at, int opcode, Py_ssize_t size) noexcept:
    """Write the header of a whole message of `size` bytes, and return its end."""
    cdef Py_ssize_t header = header_bytes(size)
    cdef Py_ssize_t i
    cdef uint64_t rest = <uint64_t>size
    at[0] = <char>(FIN | opcode)
    if header == 2:
        at[1] = <char>size
        return at + 2
    at[1] = <char>(SIZE_IN_2_BYTES if header == 4 else SIZE_IN_8_BYTES)
    for i in range(header - 1, 1, -1):
        at[i] = <char>(rest & 0xFF)
        rest >>= 8
    return at + header


def frame(int opcode, bytes payload not None) -> bytes:
    """A message, or a control frame, in one frame."""
    cdef char header[MAX_HEADER_BYTES]
    cdef char* end = put_header(header, opcode, len(payload))
    return header[:end - header] + payload


cdef class FrameWriter(WriteBuffer):
    """Frames that wait for one write to the socket."""

    cdef int grow(self, Py_ssize_t more) except -1:
        cdef bint is_new = self.chunk is NULL
        WriteBuffer.grow(self, more + HEADER_SPACE)
        if is_new:
            self.start = 0
            self.size = HEADER_SPACE
        return 0

    cdef int open_frame(self) except -1:
        """Leave space for the header of a frame behind the last one."""
        self.start = self.size
        self.reserve(HEADER_SPACE)
        self.size = self.start + HEADER_SPACE
        return 0

    cdef int end_frame(self) except -1:
        """Write the header of the open frame, or give its space back if the frame is empty."""
        cdef Py_ssize_t payload = self.start + HEADER_SPACE
        cdef Py_ssize_t size = self.size - payload
        cdef Py_ssize_t header, compressed
        cdef int opcode = BINARY
        cdef char* at
        check(size >= 0, b"an open frame has space for its header")
        if size == 0:
            self.size = self.start
            return 0
        if self.compresses and MIN_COMPRESSED_BYTES < size <= MAX_COMPRESSED_BYTES:
            compressed = self.compress(start_of(self.chunk) + payload, size)
            if compressed < size:
                size = compressed
                opcode |= COMPRESSED
        header = header_bytes(size)
        if header > HEADER_SPACE:
            self.reserve(header - HEADER_SPACE)
        at = start_of(self.chunk) + self.start
        if header != HEADER_SPACE:
            memmove(at + header, at + HEADER_SPACE, <size_t>size)
        put_header(at, opcode, size)
        self.size = self.start + header + size
        return 0

    cdef Py_ssize_t compress(self, char* data, Py_ssize_t size) except -1:
        """Compress the bytes in place, if that makes them fewer. Returns how many there are then."""
        cdef bytes compressed
        stream = zlib.compressobj(FASTEST, zlib.DEFLATED, WINDOW_BITS)
        compressed = stream.compress(data[:size]) + stream.flush(zlib.Z_SYNC_FLUSH)
        if len(compressed) - END_BYTES >= size:
            return size
        memcpy(data, <const char*>compressed, <size_t>(len(compressed) - END_BYTES))
        return len(compressed) - END_BYTES

    cdef int append_pong(self, const char* payload, Py_ssize_t size) except -1:
        """Append a pong behind what was written before."""
        cdef char* at
        check(size <= MAX_CONTROL_BYTES, b"the payload of a pong is that of a ping")
        self.reserve(HEADER_SPACE + size)
        # Behind the open frame, or in its place if it is empty.
        self.end_frame()
        at = self.reserve(HEADER_SPACE + size)
        self.commit(put(put_header(at, PONG, size), view(payload, size)))
        return self.open_frame()

    cdef bytes take(self):
        if self.size:
            self.end_frame()
        return WriteBuffer.take(self)
