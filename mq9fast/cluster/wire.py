"""One connection to a nats-server: what is read, and what is written. `connection.py` keeps one open.

nats-py would do it too, but costs an append and each record that is read several times as much.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from mq9fast.cluster.log import LogError

log = logging.getLogger("mq9fast.cluster")

# The size of MSG's longest line, and more.
MAX_LINE_BYTES = 65536


class Message(NamedTuple):
    """A message. `sid`: of the subscription. `header`: with the status line, empty if there is none."""

    subject: bytes
    sid: bytes
    reply: bytes
    header: bytes
    payload: bytes

    @property
    def status(self) -> bytes:
        """The three digits of the status, such as b"503"; empty if there is none."""
        return self.header[9:12] if self.header[8:9] == b" " else b""

    def field(self, name: bytes) -> bytes:
        """The value of a field of the header; empty if it is not there."""
        _, found, rest = self.header.partition(b"\r\n" + name + b": ")
        return rest.partition(b"\r\n")[0] if found else b""


class Wire(asyncio.Protocol):
    """A connection. `received(message)` is called for each message.

    `info`: what the server said first. `is_lost`: the connection has ended.
    """

    def __init__(self, received: Callable[[Message], None], lost: Callable[["Wire", str], None]) -> None:
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._error = ""
        self.info: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.pong: asyncio.Future[None] | None = None
        self.unanswered_pings = 0
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        reason = self._error or str(error or "the connection was closed")
        for future in (self.info, self.pong):
            if future is not None and not future.done():
                future.set_exception(LogError(reason))
                future.exception()
        self.is_lost = True
        self._lost(self, reason)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Begin TLS, after INFO. Raises OSError."""
        assert self._transport is not None
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host
        )
        self._transport = cast(asyncio.Transport, transport)

    def write(self, data: bytes) -> None:
        """Write whole operations of the protocol."""
        assert self._transport is not None
        self._transport.write(data)

    def ping(self) -> None:
        """Send PING; `unanswered_pings` goes back to 0 when there is an answer."""
        self.unanswered_pings += 1
        self.write(b"PING\r\n")

    def abort(self, reason: str) -> None:
        """Close the connection at once."""
        self._error = self._error or reason
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while (line_end := buffer.find(b"\r\n", at, at + MAX_LINE_BYTES)) >= 0:
            line = bytes(buffer[at:line_end])
            if line.startswith((b"MSG ", b"HMSG ")):
                end = self._message(line, line_end + 2)
                if not end:
                    break
                at = end
            else:
                self._operation(line)
                at = line_end + 2
        if at:
            del buffer[:at]

    def _message(self, line: bytes, start: int) -> int:
        """Take the message whose line ends before `start`. Returns its end, 0 if it is not all there."""
        words = line.split()
        size = int(words[-1])
        end = start + size
        if len(self._buffer) < end + 2:
            return 0
        header_size = int(words[-2]) if words[0] == b"HMSG" else 0
        has_reply = len(words) == (6 if header_size else 5)
        with memoryview(self._buffer) as view:
            header = bytes(view[start : start + header_size])
            payload = bytes(view[start + header_size : end])
        self._received(Message(words[1], words[2], words[3] if has_reply else b"", header, payload))
        return end + 2

    def _operation(self, line: bytes) -> None:
        if line.startswith(b"INFO "):
            if not self.info.done():
                self.info.set_result(json.loads(line[5:]))
        elif line == b"PING":
            self.write(b"PONG\r\n")
        elif line == b"PONG":
            self.unanswered_pings = 0
            if self.pong is not None and not self.pong.done():
                self.pong.set_result(None)
        elif line.startswith(b"-ERR"):
            self._error = line[4:].strip(b" '").decode(errors="replace")
            log.warning("a server of the log says: %s", self._error)
