"""One client's protocol over WebSocket: a `Session` with frames around what it reads and writes.

`network/websocket/connection.py` creates one for each connection. The payloads of data frames stay in the
read buffer, where the parser of NATS reads on from them; the output of a turn is one frame.
"""

from mq9fast._core.session cimport Session
from mq9fast._core.websocket.frame_reader cimport FrameReader
from mq9fast._core.websocket.frame_writer cimport FrameWriter


cdef class WebSocketSession(Session):
    cdef readonly FrameReader frames
    cdef FrameWriter framed_out         # the same object as `out`

    cdef int answer_ping(self) except -1
