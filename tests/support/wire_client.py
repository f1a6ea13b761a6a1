"""A client that sends and reads the bytes of the NATS protocol itself."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.support.waiting import WAIT_SECONDS

MAILBOX = "$mq9.AI.MAILBOX."


class Message(NamedTuple):
    """One MSG or HMSG."""

    subject: str
    sid: str
    reply: str
    header: bytes
    payload: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.payload)

    @property
    def msg_id(self) -> int:
        """The id of a message that was delivered from a mailbox."""
        return int(self.reply.rpartition(".")[2])


class Wire:
    """A client connection. It sends CONNECT with these options, unless `connect` is None.

    `unread`: bytes received and not yet parsed. `received`: messages that arrived while the test waited
    for something else; `message` returns them first.
    """

    def __init__(
        self,
        port: int,
        connect: dict[str, Any] | None = {},  # noqa: B006
        receive_bytes: int = 0,
    ) -> None:
        self.socket = self.open(port, receive_bytes)
        self.unread = bytearray()
        self.inbox = 0
        self.received: list[Message] = []
        try:
            self._begin(connect)
        except BaseException:
            # The broker may end during the handshake.
            self.close()
            raise

    def _begin(self, connect: dict[str, Any] | None) -> None:
        self.info = json.loads(self.line().removeprefix("INFO "))
        if connect is not None:
            options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, **connect}
            self.send(f"CONNECT {json.dumps(options)}\r\n")

    def open(self, port: int, receive_bytes: int) -> Any:
        """Connect a socket."""
        opened = socket.socket()
        if receive_bytes:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            opened.connect(("127.0.0.1", port))
        except OSError:
            opened.close()
            raise
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def send(self, data: str | bytes) -> None:
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def pub(self, subject: str, payload: str | bytes = b"", reply: str = "", header: bytes = b"") -> None:
        body = payload.encode() if isinstance(payload, str) else payload
        sizes = f"{len(header)} {len(header) + len(body)}" if header else f"{len(body)}"
        line = f"{'HPUB' if header else 'PUB'} {subject} {reply} {sizes}\r\n"
        self.send(line.encode() + header + body + b"\r\n")

    def sub(self, subject: str, sid: str = "1", queue: str = "") -> None:
        self.send(f"SUB {subject} {queue} {sid}\r\n")

    def receive(self, timeout: float) -> None:
        """Add received bytes to `unread`. Raises TimeoutError, and EOFError at the end of the connection."""
        self.socket.settimeout(max(timeout, 0.001))
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError
        self.unread += data

    def line(self, timeout: float = WAIT_SECONDS) -> str:
        deadline = time.monotonic() + timeout
        while (end := self.unread.find(b"\r\n")) < 0:
            self.receive(deadline - time.monotonic())
        line = self.unread[:end].decode()
        del self.unread[: end + 2]
        return line

    def take(self, size: int, timeout: float = WAIT_SECONDS) -> bytes:
        deadline = time.monotonic() + timeout
        while len(self.unread) < size:
            self.receive(deadline - time.monotonic())
        data = bytes(self.unread[:size])
        del self.unread[:size]
        return data

    def message(self, timeout: float = WAIT_SECONDS) -> Message:
        """The next message; PINGs are answered. Raises TimeoutError if no message arrives."""
        if self.received:
            return self.received.pop(0)
        return self.read_message(timeout)

    def read_message(self, timeout: float) -> Message:
        deadline = time.monotonic() + timeout
        while True:
            line = self.line(deadline - time.monotonic())
            if line == "PING":
                self.send("PONG\r\n")
                continue
            verb, *arguments = line.split()
            assert verb in {"MSG", "HMSG"}, line
            header_size = int(arguments.pop(-2)) if verb == "HMSG" else 0
            total = int(arguments[-1])
            try:
                body = self.take(total + 2, deadline - time.monotonic())
            except TimeoutError:
                # Only part of the message arrived. The next call parses its line again.
                self.unread[:0] = f"{line}\r\n".encode()
                raise
            assert body.endswith(b"\r\n")
            reply = arguments[2] if len(arguments) == 4 else ""
            return Message(arguments[0], arguments[1], reply, body[:header_size], body[header_size:-2])

    def messages(self, count: int, timeout: float = WAIT_SECONDS) -> list[Message]:
        deadline = time.monotonic() + timeout
        return [self.message(deadline - time.monotonic()) for _ in range(count)]

    def silent(self, seconds: float = 0.2) -> bool:
        """Whether no message arrives within `seconds`. A message that does is kept for `message`."""
        try:
            self.received.append(self.message(seconds))
        except TimeoutError:
            return not self.unread
        return False

    def ping(self, timeout: float = WAIT_SECONDS) -> None:
        """Wait until the broker has read everything sent so far. Messages are kept for `message`."""
        self.send("PING\r\n")
        while not self.unread.startswith(b"PONG\r\n"):
            if self.unread.startswith((b"MSG", b"HMSG")):
                self.received.append(self.read_message(timeout))
            elif self.unread.startswith(b"PING\r\n"):
                del self.unread[:6]
                self.send("PONG\r\n")
            else:
                self.receive(timeout)
                assert not self.unread.startswith(b"-ERR"), self.unread
        del self.unread[:6]

    def request(
        self, subject: str, payload: str | bytes | dict[str, Any] = b"", header: bytes = b""
    ) -> Message:
        """Publish with a reply subject and return the reply. Other messages are kept for `message`."""
        self.inbox += 1
        inbox, sid = f"_INBOX.wire.{id(self)}.{self.inbox}", f"inbox{self.inbox}"
        self.send(f"SUB {inbox} {sid}\r\nUNSUB {sid} 1\r\n")
        self.pub(subject, json.dumps(payload) if isinstance(payload, dict) else payload, inbox, header)
        while True:
            message = self.read_message(WAIT_SECONDS)
            if message.sid == sid:
                return message
            self.received.append(message)

    # The four commands of a mailbox.

    def create(self, **fields: Any) -> dict[str, Any]:
        return self.request(MAILBOX + "CREATE", fields).json

    def msg(self, address: str, payload: str | bytes = b"", header: bytes = b"") -> dict[str, Any]:
        return self.request(f"{MAILBOX}MSG.{address}", payload, header).json

    def list(self, address: str, **fields: Any) -> dict[str, Any]:
        return self.request(f"{MAILBOX}LIST.{address}", fields).json

    def delete(self, address: str, msg_id: int | str, body: bytes = b"") -> dict[str, Any]:
        return self.request(f"{MAILBOX}DELETE.{address}.{msg_id}", body).json

    def subscribe(self, address: str, sid: str = "1", queue: str = "") -> None:
        """Subscribe to a mailbox. Does not wait until the broker has read the SUB."""
        self.sub(f"{MAILBOX}MSG.{address}", sid, queue)

    def closed(self, timeout: float = WAIT_SECONDS) -> bool:
        """Whether the broker closes the connection in time. Data before the end is left in `unread`."""
        deadline = time.monotonic() + timeout
        try:
            while True:
                self.receive(deadline - time.monotonic())
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect_and_send(port: int, data: bytes) -> socket.socket:
    """Open a plain connection and send `data`."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(data)
    return connection


def read_to_the_end(connection: socket.socket) -> bytes:
    """All data up to the end of the connection. Raises SSLEOFError if TLS ends without close_notify."""
    received = bytearray()
    while data := connection.recv(65536):
        received += data
    return bytes(received)


def read_messages(wire: Wire, timeout: float = WAIT_SECONDS) -> Iterator[Message]:
    """Every message as it arrives. The cost per message does not grow with the bytes that are buffered."""
    at = 0
    try:
        while True:
            end = wire.unread.find(b"\r\n", at)
            if end < 0:
                del wire.unread[:at]
                at = 0
                wire.receive(timeout)
                continue
            verb, *arguments = wire.unread[at:end].decode().split(" ")
            at = end + 2
            if verb not in {"MSG", "HMSG"}:
                assert verb in {"PONG", "PING"}, (verb, arguments)
                if verb == "PING":
                    wire.send("PONG\r\n")
                continue
            header = int(arguments.pop(-2)) if verb == "HMSG" else 0
            total = int(arguments.pop())
            while len(wire.unread) < at + total + 2:
                wire.receive(timeout)
            body = bytes(wire.unread[at : at + total])
            at += total + 2
            reply = arguments[2] if len(arguments) > 2 else ""
            yield Message(arguments[0], arguments[1], reply, body[:header], body[header:])
    finally:
        # Keep what was not consumed for the next reader.
        del wire.unread[:at]
