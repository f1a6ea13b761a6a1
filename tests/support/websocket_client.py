"""A NATS client over WebSocket. It sends whole messages (`WebWire`) or single frames (`frame`)."""

import socket
import ssl
import struct
from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Pong
from wsproto.utilities import generate_accept_token

from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    "Host": "broker",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY.decode(),
    "Sec-WebSocket-Version": "13",
}
FINAL = 0x80
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def request(first: str = "GET / HTTP/1.1", **changes: str | None) -> bytes:
    """An upgrade request. `Sec_WebSocket_Key="x"` changes a header, None removes it."""
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([first, *lines, "", ""]).encode()


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, size: int | None = None
) -> bytes:
    """A client's frame, valid or not. `size`: the length in its header. `opcode` may have reserved bits."""
    announced = len(payload) if size is None else size
    first, mask = opcode | (FINAL if final else 0), 0x80 if masked else 0
    if announced < 126:
        head = struct.pack("!BB", first, mask | announced)
    elif announced < 65536:
        head = struct.pack("!BBH", first, mask | 126, announced)
    else:
        head = struct.pack("!BBQ", first, mask | 127, announced)
    key = b"\x5a\xa5\x00\xff"
    covered = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return head + (key + covered if masked else payload)


class FramedSocket:
    """A socket whose `sendall` sends binary messages and whose `recv` returns their payloads.

    `close_event`: the close frame received; `pongs`: the payloads of pongs; `messages`: how many arrived.
    """

    def __init__(self, raw: socket.socket, **changes: str | None) -> None:
        self.raw = raw
        self.close_event: CloseConnection | None = None
        self.pongs: list[bytes] = []
        self.messages = 0
        self._unread = b""
        self._frames = Connection(ConnectionType.CLIENT)
        try:
            self._upgrade(**changes)
        except BaseException:
            raw.close()
            raise

    def _upgrade(self, **changes: str | None) -> None:
        self.raw.settimeout(WAIT_SECONDS)
        self.raw.sendall(request(**changes))
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.raw.recv(1)
            if not more:
                raise EOFError(head)
            head += more
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert generate_accept_token(KEY) in head

    def sendall(self, data: bytes) -> None:
        self.raw.sendall(self._frames.send(BytesMessage(data)))

    def recv(self, size: int) -> bytes:
        while not self._unread:
            data = self.raw.recv(size)
            if not data:
                return b""
            self._receive(data)
        data, self._unread = self._unread, b""
        return data

    def _receive(self, data: bytes) -> None:
        if self.close_event is not None:
            raise AssertionError(f"data after the close frame: {data!r}")
        self._frames.receive_data(data)
        parts = []
        for event in self._frames.events():
            assert isinstance(event, (BytesMessage, CloseConnection, Pong)), event
            if isinstance(event, BytesMessage):
                parts.append(event.data)
                self.messages += event.message_finished
            elif isinstance(event, Pong):
                self.pongs.append(bytes(event.payload))
            else:
                self.close_event = event
        self._unread = b"".join(parts)

    def settimeout(self, seconds: float) -> None:
        self.raw.settimeout(seconds)

    def close(self) -> None:
        self.raw.close()


class WebWire(Wire):
    """`Wire` over WebSocket, with TLS below it if `tls` is set. `headers` change the upgrade request."""

    socket: FramedSocket

    def __init__(
        self,
        port: int,
        connect: dict[str, Any] | None = {},  # noqa: B006
        receive_bytes: int = 0,
        tls: ssl.SSLContext | None = None,
        **headers: str | None,
    ) -> None:
        self._tls = tls
        self._headers = headers
        super().__init__(port, connect, receive_bytes)

    def open(self, port: int, receive_bytes: int) -> FramedSocket:
        raw = super().open(port, receive_bytes)
        if self._tls is not None:
            raw = self._tls.wrap_socket(raw, server_hostname="localhost")
        return FramedSocket(raw, **self._headers)

    @property
    def close_code(self) -> tuple[int, str | None]:
        """Code and reason of the broker's close frame."""
        assert self.socket.close_event is not None
        return self.socket.close_event.code, self.socket.close_event.reason

    def frames(self, *frames: bytes) -> None:
        """Send frames unchanged, in one write."""
        self.socket.raw.sendall(b"".join(frames))


def is_closed_without_data(peer: socket.socket) -> bool:
    """Whether the broker closes the connection without sending data."""
    try:
        return peer.recv(65536) == b""
    except ConnectionError:
        return True
