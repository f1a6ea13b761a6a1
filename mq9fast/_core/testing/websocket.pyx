"""The reader and the writer of WebSocket frames, called from Python."""

from cpython.bytearray cimport PyByteArray_AS_STRING

from mq9fast._core.base.view cimport view_of
from mq9fast._core.websocket.frame_reader cimport FrameReader
from mq9fast._core.websocket.frame_writer cimport FrameWriter
from mq9fast._core.websocket.unmask cimport unmask


def unmasked(bytes data not None, bytes key not None, Py_ssize_t gap) -> tuple:
    """Unmask `data` to `gap` bytes before it; returns the result, and the key for the byte behind it."""
    cdef bytearray memory = bytearray(gap) + data
    cdef char* start = PyByteArray_AS_STRING(memory)
    cdef unsigned int rotated = 0
    (<char*>&rotated)[0] = key[0]
    (<char*>&rotated)[1] = key[1]
    (<char*>&rotated)[2] = key[2]
    (<char*>&rotated)[3] = key[3]
    rotated = unmask(start, start + gap, len(data), rotated)
    return bytes(memory[:len(data)]), (<char*>&rotated)[:4]


cdef class ExposedFrameReader(FrameReader):
    """A FrameReader with methods for Python."""

    def compress(self, Py_ssize_t limit) -> None:
        """Accept compressed messages that become at most `limit` bytes."""
        self.allow_compression(limit)

    def feed(self, bytes data not None) -> bytes:
        """Read `data`; returns the payloads of data frames in it."""
        cdef bytearray memory = bytearray(data)
        cdef char* start = PyByteArray_AS_STRING(memory)
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t size
        cdef list parts = []
        while at < len(data) and not self.close_code:
            size = self.read(start + at, len(data) - at)
            parts.append(start[at:at + size])
            at += self.used
            while self.has_pieces():
                parts.append(self.next_piece())
        return b"".join(parts)

    def take_ping(self) -> bytes | None:
        """The payload of the last ping that was not taken; None if there is none."""
        if not self.ping_waits:
            return None
        self.ping_waits = False
        return self.ping[:self.ping_size]


cdef class ExposedFrameWriter(FrameWriter):
    """A FrameWriter with methods for Python."""

    def write(self, bytes data not None) -> None:
        """Append a copy of `data` to the message."""
        self.append(view_of(data))

    def pong(self, bytes payload not None) -> None:
        """Append a pong."""
        self.append_pong(payload, len(payload))

    def compress_messages(self) -> None:
        """Compress messages from now on."""
        self.compresses = True

    def taken(self) -> bytes:
        """Return the frames since the last call, and start a new buffer."""
        return self.take()
