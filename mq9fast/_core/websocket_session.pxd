"""One client's protocol over WebSocket: a `Session` with frames around what it reads and writes.

`network/websocket/connection.py` creates one for each connection. The payloads of data frames stay in the
read buffer, where the parser of NATS reads on from them; the output of a turn is one frame.

A read with a compressed message is handled in steps: what is before it, its pieces, what is behind it. If the
client's share of the turn ends in between, the rest of the read waits in `rest`.
"""

from mq9fast._core.pubsub.client cimport PauseReason
from mq9fast._core.session cimport Session
from mq9fast._core.websocket.frame_reader cimport FrameReader
from mq9fast._core.websocket.frame_writer cimport FrameWriter


cdef class WebSocketSession(Session):
    cdef readonly FrameReader frames
    cdef FrameWriter framed_out         # the same object as `out`
    cdef bytearray rest                 # what is received and not read yet; None if there is nothing
    cdef Py_ssize_t rest_start          # of it, this much is read

    cdef int answer_ping(self) except -1
    cdef bint may_go_on(self) noexcept
    cdef int read_rest(self) except -1
    cdef bytes next_payload(self)
