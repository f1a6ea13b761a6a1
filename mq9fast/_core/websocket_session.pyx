"""One client's protocol over WebSocket; the contract is in websocket_session.pxd."""

from mq9fast._core.protocol.read_buffer cimport ReadBuffer
from mq9fast._core.session cimport Session
from mq9fast._core.websocket.frame_reader cimport FrameReader
from mq9fast._core.websocket.frame_writer cimport FrameWriter


cdef class WebSocketSession(Session):
    """A `Session` whose client sends and receives WebSocket frames. It has the arguments of a Session."""

    def __cinit__(self, *_, **__):
        self.frames = FrameReader()
        self.out = self.framed_out = FrameWriter()

    cpdef int receive(self, Py_ssize_t nbytes) except -1:
        """Handle the frames that were read. A close frame ends the session when all before it is handled."""
        Session.receive(self, nbytes)
        if self.frames.close_code:
            self.leave()
        return 0

    cdef int unframe(self, Py_ssize_t nbytes) except -1:
        """Leave the payloads of this read's data frames in the read buffer, and answer a ping."""
        cdef ReadBuffer buffer = self.read_buffer
        buffer.size -= nbytes
        buffer.size += self.frames.read(buffer.data + buffer.size, nbytes)
        return self.answer_ping()

    cdef int answer_ping(self) except -1:
        """Send a pong. If the socket is full, the last ping is answered when it has drained."""
        if self.frames.ping_waits and self.writable and not self.closing:
            self.frames.ping_waits = False
            self.framed_out.append_pong(self.frames.ping, self.frames.ping_size)
            self.touch()
        return 0

    def resume_writing(self) -> None:
        """The transport is below its low-water mark: write what waits and let consumers catch up."""
        Session.resume_writing(self)
        self.answer_ping()
