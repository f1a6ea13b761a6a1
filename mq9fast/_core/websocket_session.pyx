"""One client's protocol over WebSocket; the contract is in websocket_session.pxd."""

from cpython.bytearray cimport PyByteArray_AS_STRING

from mq9fast._core.base.view cimport view_of
from mq9fast._core.protocol.parser cimport Bounds
from mq9fast._core.protocol.read_buffer cimport ReadBuffer
from mq9fast._core.pubsub.client cimport PAUSE_CONNECT, PauseReason
from mq9fast._core.session cimport Session
from mq9fast._core.websocket.frame_reader cimport FrameReader
from mq9fast._core.websocket.frame_writer cimport FrameWriter

cdef enum:
    # As much is read ahead behind a compressed message while a CONNECT is being checked.
    MAX_READ_AHEAD_BYTES = 4096


cdef class WebSocketSession(Session):
    """A `Session` whose client sends and receives WebSocket frames. It has the arguments of a Session."""

    def __cinit__(self, *_, **__):
        self.frames = FrameReader()
        self.out = self.framed_out = FrameWriter()

    def use_compression(self) -> None:
        """Both sides may compress messages from now on. One of the client may become as large as the largest
        operation of NATS."""
        cdef Bounds bounds = self.engine.bounds
        self.frames.allow_compression(bounds.payload_bytes + bounds.control_line_bytes)
        self.framed_out.compresses = True

    cpdef int receive(self, Py_ssize_t nbytes) except -1:
        """Handle the frames that were read. A close frame ends the session when all before it is handled."""
        Session.receive(self, nbytes)
        return self.read_rest()

    cdef int unframe(self, Py_ssize_t nbytes) except -1:
        """Leave the payloads of this read's data frames in the read buffer, up to a compressed message."""
        cdef ReadBuffer buffer = self.read_buffer
        cdef char* data = buffer.data + buffer.size - nbytes
        buffer.size -= nbytes
        if self.rest is not None:
            self.rest += data[:nbytes]
            if self.connect_pending and len(self.rest) - self.rest_start > MAX_READ_AHEAD_BYTES:
                self.pause(PAUSE_CONNECT)
            return 0
        buffer.size += self.frames.read(data, nbytes)
        if self.frames.used < nbytes and not self.frames.close_code:
            self.rest = bytearray(data[self.frames.used:nbytes])
            self.rest_start = 0
        return self.answer_ping()

    cdef bint may_go_on(self) noexcept:
        """Whether there is more of the last read, and it may be handled now."""
        if self.closing or self.working or self.connection is None or self.frames.close_code:
            return False
        if self.rest is None and not self.frames.has_pieces():
            return False
        return not self.paused and not self.has_unhandled and not self.connect_pending

    cdef int read_rest(self) except -1:
        """Handle what is behind the beginning of a compressed message, within the client's share."""
        while self.may_go_on():
            self.read_buffer.append(view_of(self.next_payload()))
            self.work(False)
            if self.pending_work.time_is_up():
                self.use_up_share()
        if self.frames.close_code and not self.working:
            self.rest = None
            if self.frames.is_too_big():
                self.begin_close(b"Maximum Payload Violation")
            self.leave()
        return 0

    cdef bytes next_payload(self):
        """The next payload of the rest: a piece of a compressed message, or what is before the next one."""
        cdef char* data
        cdef Py_ssize_t size
        if self.frames.has_pieces():
            return self.frames.next_piece()
        data = PyByteArray_AS_STRING(self.rest) + self.rest_start
        size = self.frames.read(data, len(self.rest) - self.rest_start)
        payload = data[:size]
        self.rest_start += self.frames.used
        if self.rest_start == len(self.rest):
            self.rest = None
        self.answer_ping()
        return payload

    cdef int continue_work(self, PauseReason reason) except -1:
        Session.continue_work(self, reason)
        return self.read_rest()

    def proceed(self) -> None:
        """The CONNECT was accepted: answer it and handle what came after it."""
        Session.proceed(self)
        self.read_rest()

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
