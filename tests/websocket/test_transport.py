"""The calls that a WebSocket makes to its transport. No sockets are needed."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from mq9fast._core.websocket.frame_writer import frame as server_frame
from mq9fast.auth.passwords import Passwords
from mq9fast.config.settings import Settings
from mq9fast.network.connection import HIGH_WATER_BYTES, LOW_WATER_BYTES
from mq9fast.network.handshake import Handshake
from mq9fast.network.socket_options import UNSENT_BYTES
from mq9fast.network.websocket.connection import WebSocketConnection, close_frame
from mq9fast.network.websocket.port import WebSocketPort
from tests.support.in_memory import Core
from tests.support.websocket_client import BINARY, CLOSE, PING, PONG, frame, request


class FakeSocket:
    family = socket.AF_INET

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)  # type: ignore[arg-type]


class FakeTransport(asyncio.Transport):
    """Records the calls. `take_writes` returns what was written since its last call."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.limits: tuple[int | None, int | None] = (None, None)
        self.reading = True
        self.closed = self.aborted = False
        self.socket = FakeSocket()
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def take_writes(self) -> list[bytes]:
        writes, self.writes = self.writes, []
        return writes

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.writes.append(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self.socket, "peername": ("192.0.2.7", 7)}.get(name, default)


class Peer:
    """An upgraded WebSocket, with its transport and its connection."""

    def __init__(self) -> None:
        self.core = Core(max_pending_bytes=1 << 20)
        self.handshake = Handshake(Settings(), 4222, None, Passwords())
        self.handshake.info_overrides["websocket"] = {"port": 8080}
        self.port = WebSocketPort(Settings(), self._connect, lambda: 1, lambda host: "")
        self.transport = FakeTransport()
        self.transport.set_protocol(self.port.protocol())
        self.transport.protocol.connection_made(self.transport)
        self.feed(request())
        self.answer, self.info = self.transport.take_writes()

    def _connect(self) -> WebSocketConnection:
        self.connection = WebSocketConnection(self.core.engine, self.handshake, 1, lambda _: None)
        self.connection.session.verbose = False
        return self.connection

    def feed(self, *frames: bytes) -> None:
        """One read."""
        data = b"".join(frames)
        self.transport.protocol.get_buffer(-1)[: len(data)] = data
        self.transport.protocol.buffer_updated(len(data))

    def end(self) -> None:
        self.transport.protocol.connection_lost(None)


def with_peer(test: Callable[[Peer], None]) -> None:
    async def run() -> None:
        peer = Peer()
        test(peer)
        peer.end()

    asyncio.run(run())


def test_the_connection_has_type_peer_info_and_socket_options() -> None:
    def test(peer: Peer) -> None:
        assert peer.connection.client_type == "websocket"
        assert peer.connection.peer == ("192.0.2.7", 7)
        assert b'"port":8080' in peer.info
        assert b'"client_ip":"192.0.2.7"' in peer.info
        assert peer.transport.limits == (HIGH_WATER_BYTES, LOW_WATER_BYTES)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            option = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            assert option not in peer.transport.socket.options
            peer.feed(frame(BINARY, b"SUB $mq9.AI.MAILBOX.MSG.a 1\r\nSUB $mq9.AI.MAILBOX.MSG.b 2\r\n"))
            assert peer.transport.socket.options.count(option) == 1
        assert not peer.port.upgrading

    with_peer(test)


def test_the_output_of_a_turn_is_one_write() -> None:
    def test(peer: Peer) -> None:
        peer.feed(frame(BINARY, b"SUB a 1\r\nPUB a 1\r\nx\r\n"), frame(BINARY, b"PUB a 1\r\ny\r\nPING\r\n"))
        assert peer.transport.take_writes() == []
        peer.core.end_turn()
        sent = b"MSG a 1 1\r\nx\r\nMSG a 1 1\r\ny\r\nPONG\r\n"
        assert peer.transport.take_writes() == [server_frame(BINARY, sent)]

    with_peer(test)


def test_one_pong_waits_for_a_client_that_does_not_read() -> None:
    def test(peer: Peer) -> None:
        peer.feed(frame(PING, b"1"), frame(PING, b"2"))
        peer.core.end_turn()
        assert peer.transport.take_writes() == [server_frame(PONG, b"2")]
        peer.transport.protocol.pause_writing()
        assert not peer.connection.session.writable
        for number in range(3, 1000):
            peer.feed(frame(PING, b"%d" % number))
        peer.core.end_turn()
        assert peer.transport.take_writes() == []
        peer.transport.protocol.resume_writing()
        assert peer.connection.session.writable
        peer.core.end_turn()
        assert peer.transport.take_writes() == [server_frame(PONG, b"999")]
        peer.transport.protocol.pause_writing()
        peer.transport.protocol.resume_writing()
        peer.core.end_turn()
        assert peer.transport.take_writes() == []

    with_peer(test)


def test_pausing_the_connection_pauses_the_transport() -> None:
    def test(peer: Peer) -> None:
        peer.connection.pause()
        assert not peer.transport.reading
        peer.connection.resume()
        assert peer.transport.reading

    with_peer(test)


def test_a_full_read_uses_up_the_share_of_a_turn() -> None:
    def test(peer: Peer) -> None:
        empty = frame(BINARY)
        read_bytes = len(peer.transport.protocol.get_buffer(-1))
        peer.feed(*[empty] * (read_bytes // len(empty)))
        assert peer.transport.reading
        peer.feed(frame(BINARY, b"PING\r\n" * (read_bytes // 6))[:read_bytes])
        assert not peer.transport.reading
        peer.core.end_turn()
        assert peer.transport.reading

    with_peer(test)


def test_nothing_is_handled_or_sent_after_the_close_frame() -> None:
    def test(peer: Peer) -> None:
        peer.feed(frame(BINARY, b"PING\r\n"), frame(CLOSE, b"\x03\xe8bye"))
        # These arrive after the close frame, in the same turn.
        peer.feed(frame(BINARY, b"PING\r\n"), frame(PING, b"x"))
        peer.core.end_turn()
        sent = server_frame(BINARY, b"PONG\r\n") + close_frame(1000, b"bye")
        assert b"".join(peer.transport.take_writes()) == sent
        assert peer.transport.closed
        peer.connection.session.write(b"late")
        peer.connection.close()
        peer.feed(frame(BINARY, b"PING\r\n"))
        peer.core.end_turn()
        assert peer.transport.take_writes() == []

    with_peer(test)


def test_a_closed_port_accepts_no_peer() -> None:
    """Not even a peer whose TLS handshake ends after the port was closed."""

    def test(peer: Peer) -> None:
        waiting, late = FakeTransport(), FakeTransport()
        protocol = peer.port.protocol()
        protocol.connection_made(waiting)
        peer.port.close()
        assert waiting.aborted
        protocol.connection_lost(None)
        protocol = peer.port.protocol()
        protocol.connection_made(late)
        assert late.aborted
        protocol.connection_lost(None)
        assert not peer.transport.aborted

    with_peer(test)
