"""Writes WebSocket frames (RFC 6455): a write buffer whose bytes are frames. Frames of a server have no mask.

What is appended between two calls of `take` is one binary message in one frame. Its header is written in
front of it when its size is known. A pong is a frame of its own before or behind it. If `compresses` is set,
messages of a size where that helps are compressed (RFC 7692), each by itself.
"""

from mq9fast._core.protocol.write_buffer cimport WriteBuffer


cdef class FrameWriter(WriteBuffer):
    cdef Py_ssize_t start           # where the header of the open frame has its space in the chunk

    cdef bint compresses

    cdef int open_frame(self) except -1
    cdef int end_frame(self) except -1
    cdef Py_ssize_t compress(self, char* data, Py_ssize_t size) except -1
    cdef int append_pong(self, const char* payload, Py_ssize_t size) except -1
