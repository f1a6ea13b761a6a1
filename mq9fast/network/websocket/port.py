"""NATS over WebSocket: frames on one side, an ordinary connection on the other (RFC 6455).

The peer's data frames, however cut, are one stream of bytes for the session behind them; what the session
writes in a turn goes out as one binary message. wsproto reads the frames and has an eye on their rules.
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

# One read of a socket. Frames are read in Python: no more of them are to hold up a turn than fit in here.
READ_BYTES = 65536
# Peers that may ask for an upgrade where there is no room for them, to hear why not.
MIN_UPGRADES = 64
FINAL = 0x80
BINARY, CLOSE, PONG = 0x2, 0x8, 0xA
MAX_REASON_BYTES = 123

# How nats-server closes a WebSocket after its last words.
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
NO_PROTOCOL = (CloseReason.PROTOCOL_ERROR, "Parse Error")


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole message of the server's, which masks nothing."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", FINAL | opcode, size) + payload
    if size < 65536:
        return struct.pack("!BBH", FINAL | opcode, 126, size) + payload
    return struct.pack("!BBQ", FINAL | opcode, 127, size) + payload


def close_frame(code: int, reason: str) -> bytes:
    """The frame that closes."""
    if code == CloseReason.NO_STATUS_RCVD:
        return frame(CLOSE, b"")
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return frame(CLOSE, struct.pack("!H", code) + text.encode())


class FramedTransport(asyncio.Transport):
    """A connection's transport: what is written becomes a binary message, and close() says goodbye first.

    `close_code` is the code and the reason to close with; without it the connection's last words tell.
    """

    def __init__(self, transport: asyncio.Transport, connection: Connection | Refusal) -> None:
        super().__init__()
        self.close_code: tuple[int, str] | None = None
        self._transport = transport
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(frame(BINARY, bytes(data)))

    def close(self) -> None:
        if not self._transport.is_closing():
            close_reason = self._connection.close_reason or b""
            self._transport.write(
                close_frame(*(self.close_code or CLOSE_FRAMES.get(close_reason, NO_PROTOCOL)))
            )
        self._transport.close()

    # The rest is the socket's.

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
    """One peer of the port: its upgrade, then its frames."""

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
        self._port.begun(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._port.upgrading.discard(self)
        if self._connection is not None:
            self._connection.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        room = self._port.scratch
        if isinstance(self._connection, Connection):
            # A turn that has handled enough reads little.
            room = room[: len(self._connection.session.get_buffer(sizehint))]
        self._offered_bytes = len(room)
        return room

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport.is_closing():
            return
        data = bytes(self._port.scratch[:nbytes])
        if self._upgrade is not None:
            self._continue_work(self._upgrade, data)
        elif isinstance(self._connection, Connection) and self._framed.close_code is None:
            self._receive(self._connection, data)

    def abort(self) -> None:
        """Drop the peer."""
        self._transport.abort()

    # The upgrade.

    def _continue_work(self, upgrade: Upgrade, data: bytes) -> None:
        answer = upgrade.receive(data)
        if answer is None:
            return
        self._transport.write(answer.data)
        peer = peer_of(self._transport.get_extra_info("peername"))
        if self._port.forwarded_for and upgrade.forwarded_for:
            peer = (upgrade.forwarded_for, peer[1])
        if answer.refusal:
            log.info("the WebSocket of %s:%d was refused: %s", *peer, answer.refusal)
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
        """Hand the session what came in data frames, then answer what came in others."""
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
                # The peer's goodbye, which is given back, or ours to one that breaks the rules.
                self._framed.close_code = (event.code, event.reason or "")
        self._feed(connection, b"".join(parts))
        if len(data) == self._offered_bytes:
            connection.session.use_up_quota()
        if self._writable:
            self._send_pong()
        if self._framed.close_code is not None:
            connection.session.leave()

    def _feed(self, connection: Connection, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            room = connection.session.get_buffer(len(rest))
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            connection.session.receive(size)
            rest = rest[size:]

    def _send_pong(self) -> None:
        """Answer the last ping, which is enough. A peer that reads no pongs has one waiting, not all."""
        if self._pong is not None and not self._transport.is_closing():
            self._transport.write(frame(PONG, self._pong))
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
    """What the WebSockets of one port share. `connect()` makes the connection behind one, or refuses it.

    The upgrade must finish within auth_timeout. At most max(room(), TO_BE_TOLD) upgrades run at a time, where
    `room()` is how many further connections there may be. Raises StartError for wrong origins.
    """

    def __init__(
        self, settings: Settings, connect: Callable[[], Connection | Refusal], room: Callable[[], int]
    ) -> None:
        self.connect = connect
        self._room = room
        self.upgrading: set[WebSocket] = set()
        # All peers share it: a read is handled before the next one begins.
        self.scratch = memoryview(bytearray(READ_BYTES))
        self._closed = False
        self.set(settings)

    def set(self, settings: Settings) -> None:
        """Go by these settings from now on; StartError, and no change, for origins that are none."""
        self.origins = Origins(settings.ws_origins)
        self.forwarded_for = settings.ws_forwarded_for
        self.upgrade_seconds = settings.auth_timeout

    def protocol(self) -> WebSocket:
        """The protocol of a new peer."""
        return WebSocket(self)

    def begun(self, peer: WebSocket) -> None:
        """Take a peer that is to send its request."""
        self.upgrading.add(peer)
        if self._closed or len(self.upgrading) > max(self._room(), MIN_UPGRADES):
            peer.abort()

    def close(self) -> None:
        """Drop the peers that have not become connections yet, those still at their TLS included."""
        self._closed = True
        for peer in list(self.upgrading):
            peer.abort()
