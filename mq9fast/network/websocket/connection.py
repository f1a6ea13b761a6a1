"""A client connection over WebSocket: a `Connection` whose bytes are frames.

`port.py` makes it the protocol of the transport after the upgrade. Its session reads and writes the frames;
this module adds those of INFO and the close frame.
"""

from msgspec.structs import replace

from mq9fast._core.websocket.frame_writer import frame
from mq9fast._core.websocket_session import WebSocketSession
from mq9fast.auth.authenticator import Credentials, Link
from mq9fast.network.close_reasons import CLIENT_CLOSED
from mq9fast.network.connection import Connection, Refusal

BINARY, CLOSE = 0x2, 0x8
MAX_TEXT_BYTES = 123
NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS = 1000, 1001, 1002, 1005
POLICY_VIOLATION, MESSAGE_TOO_BIG, INTERNAL_ERROR = 1008, 1009, 1011

# The code and text of nats-server's close frame after each -ERR.
CLOSE_FRAMES = {
    b"Authentication Timeout": (POLICY_VIOLATION, b"Authentication Timeout"),
    b"Authorization Violation": (POLICY_VIOLATION, b"Authentication Failure"),
    b"Maximum Payload Violation": (MESSAGE_TOO_BIG, b"Maximum Message Payload Exceeded"),
    b"Server Shutdown": (GOING_AWAY, b"Server Shutdown"),
    b"Slow Consumer": (POLICY_VIOLATION, b"Slow Consumer (Pending Bytes)"),
    b"Stale Connection": (GOING_AWAY, b"Stale Connection"),
    b"invalid client protocol": (PROTOCOL_ERROR, b"Bad Client Protocol Version"),
    b"maximum connections exceeded": (POLICY_VIOLATION, b"Maximum Connections Exceeded"),
    b"maximum control line exceeded": (POLICY_VIOLATION, b"Maximum Control Line Exceeded"),
    b"no responders requires headers support": (INTERNAL_ERROR, b"No Responders Requires Headers"),
}
PARSE_ERROR = (PROTOCOL_ERROR, b"Parse Error")


def close_frame(code: int, text: bytes) -> bytes:
    """A close frame. `text` is UTF-8, of at most 123 bytes."""
    return frame(CLOSE, b"" if code == NO_STATUS else code.to_bytes(2, "big") + text)


def _write_nothing(data: object) -> None:
    pass


class WebSocketConnection(Connection):
    """One client after its upgrade."""

    client_type = "websocket"
    session_type = WebSocketSession
    writes_plainly = False
    session: WebSocketSession
    # The credentials of the upgrade's cookies.
    cookies: Credentials | None = None

    @property
    def link(self) -> Link:
        """What authenticates the client besides the credentials of its CONNECT."""
        return replace(super().link, cookies=self.cookies)

    def first_info(self) -> bytes:
        """The first INFO, in a frame."""
        return frame(BINARY, super().first_info())

    def close(self) -> None:
        """Write the remaining output and the close frame, and close. Nothing may follow a close frame."""
        super().close()
        self.write = _write_nothing

    def last_output(self) -> bytes:
        """What is written last. The close frame answers the client's, or says why the broker closes."""
        frames = self.session.frames
        if frames.close_text is not None:
            due = (frames.close_code, frames.close_text)
        else:
            due = CLOSE_FRAMES.get(self.close_reason or b"", PARSE_ERROR)
        return super().last_output() + close_frame(*due)

    def _reason_of_end(self, exc: Exception | None) -> str:
        left = self.session.frames.close_text is not None
        return CLIENT_CLOSED if left else super()._reason_of_end(exc)


class WebSocketRefusal(Refusal):
    """A connection past max_connections."""

    client_type = "websocket"
    cookies: Credentials | None = None

    def output(self) -> bytes:
        """All that is sent, and the close frame."""
        return frame(BINARY, super().output()) + close_frame(*CLOSE_FRAMES[self.close_reason])
