"""NATS over WebSocket (RFC 6455): frames on the side of the socket, a `Connection` on the other.

The payload of the peer's data frames, whatever their borders, is one stream of bytes for the session. What
the session writes in a turn is one binary message. wsproto parses the frames and checks the protocol's rules.
`server/broker.py` creates a `WebSocketPort`, if it is configured, and listens with its `protocol`.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Any, cast

from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from mq9fast.config.settings import Settings
from mq9fast.network.connection import Connection, Refusal
from mq9fast.network.listen import peer_of
from mq9fast.network.websocket.upgrade import Origins, Upgrade

log = logging.getLogger("mq9fast.websocket")

# The size of one read. Frames are parsed in Python, so this bounds the time that one read takes.
READ_BYTES = 65536
# This many upgrades may run even if the broker is full: those clients get an -ERR that says so.
MIN_UPGRADES = 64
FINAL = 0x80
BINARY, CLOSE, PONG = 0x2, 0x8, 0xA
MAX_REASON_BYTES = 123

# The code and reason of nats-server's close frame after each -ERR.
CLOSE_FRAMES = {
    b"Authentication Timeout": (CloseReason.POLICY_VIOLATION, "Authentication Timeout"),
    b"Authorization Violation": (CloseReason.POLICY_VIOLATION, "Authentication Failure"),
    b"Maximum Payload Violation": (CloseReason.MESSAGE_TOO_BIG, "Maximum Message Payload Exceeded"),
    b"Server Shutdown": (CloseReason.GOING_AWAY, "Server Shutdown"),
    b"Slow Consumer": (CloseReason.POLICY_VIOLATION, "Slow Consumer (Pending Bytes)"),
    b"Stale Connection": (CloseReason.GOING_AWAY, "Stale Connection"),
    b"invalid client protocol": (CloseReason.PROTOCOL_ERROR, "Bad Client Protocol Version"),
    b"maximum connections exceeded": (CloseReason.POLICY_VIOLATION, "Maximum Connections Exceeded"),
    b"maximum control line exceeded": (CloseReason.POLICY_VIOLATION, "Maximum Control Line Exceeded"),
    b"no responders requires headers support": (CloseReason.INTERNAL_ERROR, "No Responders Requires Headers"),
}
PARSE_ERROR = (CloseReason.PROTOCOL_ERROR, "Parse Error")


def server_frame(opcode: int, payload: bytes) -> bytes:
    """A message in one frame. A server's frames are not masked."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", FINAL | opcode, size) + payload
    if size < 65536:
        return struct.pack("!BBH", FINAL | opcode, 126, size) + payload
    return struct.pack("!BBQ", FINAL | opcode, 127, size) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A close frame. A reason that is too long is cut."""
    if code == CloseReason.NO_STATUS_RCVD:
        return server_frame(CLOSE, b"")
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return server_frame(CLOSE, struct.pack("!H", code) + text.encode())


class FramedTransport(asyncio.Transport):
    """The transport of a `Connection`: a write sends a binary message, and close() sends a close frame.

    `close_code` is the close frame's code and reason. If it is None, the connection's close_reason decides.
    """

    def __init__(self, transport: asyncio.Transport, connection: Connection | Refusal) -> None:
        super().__init__()
        self.close_code: tuple[int, str] | None = None
        self._transport = transport
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(server_frame(BINARY, bytes(data)))

    def close(self) -> None:
        if not self._transport.is_closing():
            close_reason = self._connection.close_reason or b""
            self._transport.write(
                close_frame(*(self.close_code or CLOSE_FRAMES.get(close_reason, PARSE_ERROR)))
            )
        self._transport.close()

    # The rest is passed to the socket's transport.

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high=high, low=low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


class WebSocket(asyncio.BufferedProtocol):
    """One peer: its upgrade, then its frames."""

    def __init__(self, port: "WebSocketPort") -> None:
        self._port = port
        self._upgrade: Upgrade | None = Upgrade(port.origins)
        self._frames = Frames(ConnectionType.SERVER)
        self._connection: Connection | Refusal | None = None
        self._pong: bytes | None = None
        self._writable = True
        self._offered_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self.peer = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._port.upgrade_seconds, self._transport.abort)
        self._port.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._port.upgrading.discard(self)
        if self._connection is not None:
            self._connection.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer = self._port.read_buffer
        if isinstance(self._connection, Connection):
            # The session offers less when the turn has handled enough.
            buffer = buffer[: len(self._connection.session.get_buffer(sizehint))]
        self._offered_bytes = len(buffer)
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport.is_closing():
            return
        data = bytes(self._port.read_buffer[:nbytes])
        if self._upgrade is not None:
            self._continue_upgrade(self._upgrade, data)
        elif isinstance(self._connection, Connection) and self._framed.close_code is None:
            self._receive(self._connection, data)

    def abort(self) -> None:
        """Close the socket at once."""
        self._transport.abort()

    # The upgrade.

    def _continue_upgrade(self, upgrade: Upgrade, data: bytes) -> None:
        response = upgrade.receive(data)
        if response is None:
            return
        self._transport.write(response.data)
        peer = peer_of(self._transport.get_extra_info("peername"))
        if self._port.forwarded_for and upgrade.forwarded_for:
            peer = (upgrade.forwarded_for, peer[1])
        if response.refusal:
            log.info("the WebSocket upgrade of %s:%d was refused: %s", *peer, response.refusal)
            self._transport.close()
            return
        self._upgrade = None
        if self._timer is not None:
            self._timer.cancel()
        self._port.upgrading.discard(self)
        self._connection = self._port.connect()
        self._connection.peer = peer
        self._framed = FramedTransport(self._transport, self._connection)
        self._connection.connection_made(self._framed)

    # Frames.

    def _receive(self, connection: Connection, data: bytes) -> None:
        """Pass the payload of data frames to the session, then handle control frames."""
        parts = []
        self._frames.receive_data(data)
        for event in self._frames.events():
            if isinstance(event, BytesMessage):
                parts.append(event.data)
            elif isinstance(event, TextMessage):
                parts.append(event.data.encode())
            elif isinstance(event, Ping):
                self._pong = bytes(event.payload)
            elif isinstance(event, CloseConnection):
                # The peer's close frame, which is echoed, or wsproto's for a peer that breaks the rules.
                self._framed.close_code = (event.code, event.reason or "")
        self._feed(connection, b"".join(parts))
        if len(data) == self._offered_bytes:
            connection.session.use_up_share()
        if self._writable:
            self._send_pong()
        if self._framed.close_code is not None:
            connection.session.leave()

    def _feed(self, connection: Connection, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            buffer = connection.session.get_buffer(len(rest))
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            connection.session.receive(size)
            rest = rest[size:]

    def _send_pong(self) -> None:
        """Answer the last ping only (RFC 6455, 5.5.3), so that at most one pong waits for a slow peer."""
        if self._pong is not None and not self._transport.is_closing():
            self._transport.write(server_frame(PONG, self._pong))
        self._pong = None

    # Back-pressure.

    def pause_writing(self) -> None:
        self._writable = False
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._writable = True
        self._send_pong()
        if self._connection is not None:
            self._connection.resume_writing()


class WebSocketPort:
    """What the WebSockets of one port share. `connect()` creates the connection for an upgraded peer.

    An upgrade must finish within auth_timeout. At most max(free_connections(), MIN_UPGRADES) upgrades run at
    a time, where `free_connections()` is how many more connections the broker accepts. Raises StartError if
    ws_origins is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], Connection | Refusal],
        free_connections: Callable[[], int],
    ) -> None:
        self.connect = connect
        self._free_connections = free_connections
        self.upgrading: set[WebSocket] = set()
        # All peers share it: a read is handled before the next one starts.
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self._closed = False
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Use these settings from now on. Raises StartError, and changes nothing, if ws_origins is wrong."""
        self.origins = Origins(settings.ws_origins)
        self.forwarded_for = settings.ws_forwarded_for
        self.upgrade_seconds = settings.auth_timeout

    def protocol(self) -> WebSocket:
        """The asyncio protocol for a new peer."""
        return WebSocket(self)

    def add(self, peer: WebSocket) -> None:
        """Note a peer that starts its upgrade, or close its socket if there are too many."""
        self.upgrading.add(peer)
        if self._closed or len(self.upgrading) > max(self._free_connections(), MIN_UPGRADES):
            peer.abort()

    def close(self) -> None:
        """Close the peers in an upgrade. Peers that finish a TLS handshake later are closed by `add`."""
        self._closed = True
        for peer in list(self.upgrading):
            peer.abort()
