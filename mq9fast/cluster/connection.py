"""A connection to the servers of the log that is made again whenever it is lost."""

import asyncio
import base64
import contextlib
import json
import logging
import re
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mq9fast.cluster.log import LogError
from mq9fast.cluster.tasks import end_tasks
from mq9fast.cluster.wire import Message, Wire

log = logging.getLogger("mq9fast.cluster")

CONNECT_SECONDS = 1.0
RETRY_SECONDS = 0.05
# A server that answers no PING for this many intervals is taken for dead.
PING_SECONDS = 0.5
MAX_UNANSWERED_PINGS = 3
DEFAULT_PORT = 4222
INBOX_SID = b"1"
# What `_open` raises if a server is not there, or does not answer as a NATS server does.
# A PermissionError is an OSError.
CONNECT_ERRORS = (OSError, LogError, asyncio.TimeoutError, ValueError)
_CREDS = re.compile(r"-----BEGIN [^-]+-----\s*(\S+)\s*-+END", re.MULTILINE)


@dataclass(frozen=True)
class Access:
    """The servers, as nats:// URLs, and how to sign in. `creds`: a file with a user JWT and its seed."""

    servers: list[str]
    name: str = "mq9fast"
    tls: ssl.SSLContext | None = None
    user: str | None = None
    password: str | None = None
    creds: Path | None = None


class Opened(NamedTuple):
    """A connection that is not used yet, and what its server said of itself."""

    wire: Wire
    info: dict[str, Any]


class Connection:
    """Connects to one of the servers. Messages to `reply_subject(...)` go to the function given there.

    `connected()` is called after each connection. While there is none, what is published is dropped.
    """

    def __init__(self, access: Access, connected: Callable[[], None] = lambda: None) -> None:
        self._access = access
        self._connected = connected
        self._inbox = b"_INBOX." + secrets.token_hex(11).encode()
        self._receivers: dict[bytes, Callable[[Message], None]] = {}
        self._subscribers: dict[bytes, Callable[[Message], None]] = {}
        self._token = 0
        self._wire: Wire | None = None
        self._next_server = 0
        self._names: dict[str, str] = {}  # of servers, by URL, as they said last
        self.server_name = ""  # of the server that it is connected to, or was last
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self.max_payload = 1 << 20

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._wire is not None

    async def connect(self) -> None:
        """Connect to one of the servers, and stay connected until `close`.

        Waits until one of them is there. Raises LogError if they all refuse this client, or if its
        credentials cannot be read.
        """
        if self._access.creds is not None:
            try:
                sign(self._access.creds, "")
            except (OSError, ValueError) as error:
                raise LogError(f"the credentials for the log cannot be read: {error}") from error
        refused = 0
        while refused < len(self._access.servers):
            try:
                await self._connect_once()
                break
            except PermissionError as error:
                reason, refused = str(error), refused + 1
            except CONNECT_ERRORS:
                await asyncio.sleep(RETRY_SECONDS)
        else:
            raise LogError(f"the servers of the log refuse the connection: {reason}")
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            await end_tasks(self._task)
        if self._wire is not None:
            self._wire.abort("closed")

    def reply_subject(self, receive: Callable[[Message], None]) -> bytes:
        """A new subject whose messages go to `receive`, until `forget`."""
        self._token += 1
        token = b"%d" % self._token
        self._receivers[token] = receive
        return self._inbox + b"." + token

    def forget(self, subject: bytes) -> None:
        """Receive no more messages for a subject that `reply_subject` returned."""
        self._receivers.pop(subject.rpartition(b".")[2], None)

    def subscribe(self, receive: Callable[[Message], None]) -> tuple[bytes, bytes]:
        """Subscribe to a new subject, until `unsubscribe` or the end of this connection. Returns the
        subject and the sid."""
        self._token += 1
        sid = b"%d" % (self._token + 1)
        subject = b"_INBOX." + secrets.token_hex(11).encode()
        self._subscribers[sid] = receive
        if self._wire is not None:
            self._wire.write(b"SUB %b %b\r\n" % (subject, sid))
        return subject, sid

    def unsubscribe(self, sid: bytes) -> None:
        """End a subscription."""
        if self._subscribers.pop(sid, None) is not None and self._wire is not None:
            self._wire.write(b"UNSUB %b\r\n" % sid)

    def publish(self, subject: bytes, payload: bytes, *, reply: bytes = b"", header: bytes = b"") -> None:
        """Publish a message. `header`: lines, each with its line break."""
        if self._wire is None:
            return
        if header:
            header = b"NATS/1.0\r\n" + header + b"\r\n"
            total = len(header) + len(payload)
            start = b"HPUB %b %b %d %d\r\n%b" % (subject, reply, len(header), total, header)
        else:
            start = b"PUB %b %b %d\r\n" % (subject, reply, len(payload))
        self._wire.write(b"".join([start, payload, b"\r\n"]))

    async def ask(self, subject: str, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request of JetStream's API; returns the answer. Raises LogError."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Message] = loop.create_future()

        def receive(message: Message) -> None:
            if not answered.done():
                answered.set_result(message)

        def give_up() -> None:
            if not answered.done():
                answered.set_exception(LogError(f"{subject} was not answered"))

        reply = self.reply_subject(receive)
        self.publish(subject.encode(), json.dumps(body).encode(), reply=reply)
        timer = loop.call_later(seconds, give_up)
        try:
            message = await answered
        finally:
            timer.cancel()
            self.forget(reply)
        if message.status:
            raise LogError(f"{subject}: status {message.status.decode()}")
        answer: dict[str, Any] = json.loads(message.payload)
        return answer

    async def _keep(self) -> None:
        """Ping the server, and connect again when the connection is lost."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), PING_SECONDS)
            if self._wire is None:
                try:
                    await self._connect_once()
                except CONNECT_ERRORS as error:
                    log.debug("no connection to the log: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
            elif self._wire.unanswered_pings >= MAX_UNANSWERED_PINGS:
                self._wire.abort("the server answers no PING")
            else:
                self._wire.ping()

    async def _connect_once(self) -> None:
        """Connect to the next server. Raises as `_open`."""
        servers = self._access.servers
        server = servers[self._next_server % len(servers)]
        self._next_server += 1
        self._use(await self._open(server))
        self._connected()

    async def open_to(self, server_name: str) -> Opened | None:
        """Open another connection, to the server of this name, for `move`. None if it is none of the servers,
        or not there."""
        for server in self._access.servers:
            if self._names.get(server, server_name) != server_name:
                continue
            try:
                opened = await self._open(server)
            except CONNECT_ERRORS as error:
                log.debug("no connection to the server %s of the log: %s", server_name, error)
                continue
            if self._names[server] == server_name:
                return opened
            opened.wire.abort("")
        return None

    def move(self, opened: Opened) -> None:
        """Use a connection that `open_to` returned, and close the former one. Its subscriptions end, and
        answers to what it has sent may get lost. If the new one is lost by now, nothing changes."""
        if not opened.wire.is_lost:
            self._use(opened)

    async def _open(self, server: str) -> Opened:
        """A new connection, and what the server said of itself. Raises one of CONNECT_ERRORS: PermissionError
        if the server refuses this client."""
        url = urlsplit(server)
        host = url.hostname or "127.0.0.1"
        loop = asyncio.get_running_loop()
        wire = Wire(self._receive, self._lost)
        connecting = loop.create_connection(lambda: wire, host, url.port or DEFAULT_PORT)
        await asyncio.wait_for(connecting, CONNECT_SECONDS)
        try:
            info = await asyncio.wait_for(asyncio.shield(wire.info), CONNECT_SECONDS)
            if self._access.tls is not None:
                await asyncio.wait_for(wire.start_tls(self._access.tls, host), CONNECT_SECONDS)
            wire.pong = loop.create_future()
            wire.write(
                b"CONNECT %b\r\nSUB %b.* %b\r\nPING\r\n"
                % (json.dumps(self._options(info)).encode(), self._inbox, INBOX_SID)
            )
            await asyncio.wait_for(asyncio.shield(wire.pong), CONNECT_SECONDS)
        except BaseException as error:
            wire.abort("")
            is_refused = isinstance(error, LogError) and "auth" in str(error).lower()
            if is_refused or isinstance(error, ssl.SSLCertVerificationError):
                raise PermissionError(str(error)) from error
            raise
        self._names[server] = str(info.get("server_name"))
        return Opened(wire, info)

    def _use(self, opened: Opened) -> None:
        wire, info = opened
        former, self._wire = self._wire, wire
        if former is not None:
            former.abort("another connection is used")
        self.server_name = str(info.get("server_name"))
        self.max_payload = int(info.get("max_payload", self.max_payload))
        self._ended.clear()

    def _options(self, info: dict[str, Any]) -> dict[str, Any]:
        access = self._access
        options: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "lang": "mq9fast",
            "version": "1",
            "protocol": 1,
            "headers": True,
            "no_responders": True,
            "name": access.name,
        }
        if access.user is not None:
            options |= {"user": access.user, "pass": access.password or ""}
        if access.creds is not None:
            options |= sign(access.creds, str(info.get("nonce", "")))
        return options

    def _receive(self, message: Message) -> None:
        if message.sid == INBOX_SID:
            receiver = self._receivers.get(message.subject.rpartition(b".")[2])
        else:
            receiver = self._subscribers.get(message.sid)
        if receiver is not None:
            receiver(message)

    def _lost(self, wire: Wire, reason: str) -> None:
        if wire is self._wire:
            self._wire = None
            # Whoever waits for an answer asks again.
            self._receivers.clear()
            self._ended.set()
            log.info("the connection to a server of the log was lost: %s", reason)


def sign(creds: Path, nonce: str) -> dict[str, str]:
    """The fields of CONNECT for a file of credentials. Raises OSError and ValueError."""
    from nacl.signing import SigningKey

    found = _CREDS.findall(creds.read_text())
    if len(found) != 2:
        raise ValueError(f"{creds} is not a file of credentials")
    jwt, seed = found
    # Two bytes of prefix, 32 of the seed, and two of a checksum.
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    signature = SigningKey(raw[2:34]).sign(nonce.encode()).signature
    return {"jwt": jwt, "sig": base64.urlsafe_b64encode(signature).decode().rstrip("=")}
