"""asyncio in front of a session: the socket, its timers, its back-pressure. No bytes are looked at here."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from mq9fast._core.session import Session
from mq9fast.auth import ANYBODY
from mq9fast.handshake import Handshake

if TYPE_CHECKING:
    from mq9fast._core.session import Core

log = logging.getLogger("mq9fast.connection")

# What a transport may hold before it says pause, and when it says resume: a message that a socket has not
# taken keeps its place behind more urgent ones only while it is not in here.
HIGH_WATER_BYTES = 65536
LOW_WATER_BYTES = 16384
# The same for the kernel, which would otherwise take megabytes that the peer has no room for yet.
UNSENT_BYTES = 262144
# How long a closing connection may take to write its last words.
LAST_WORDS_SECONDS = 2.0


class Connection(asyncio.BufferedProtocol):
    """One connection. `on_closed(connection)` is called once it is gone.

    `upgrade` is the TLS to begin after INFO; None where the transport is as secure as it is meant to be.
    `type` is how its client came, in nats-server's word for it: "nats" or "websocket".
    """

    def __init__(
        self,
        core: "Core",
        handshake: Handshake,
        cid: int,
        max_pending_bytes: int,
        on_closed: Callable[["Connection"], None],
        upgrade: ssl.SSLContext | None = None,
        type: str = "nats",
    ) -> None:
        self.type = type
        self.session = Session(core.agenda, cid, max_pending_bytes, core, self)
        if upgrade is None:
            self._read_into_session()
        self.peer: tuple[str, int] = ("", 0)
        self._handshake = handshake
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._secured = upgrade is None
        self._tls = upgrade
        self._timer: asyncio.TimerHandle | None = None
        self._upgrade: asyncio.Task[None] | None = None
        self._unanswered_pings = 0
        self._bytes_at_ping = 0

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast(asyncio.Transport, transport)
        self._take(transport)
        host, port, *_ = transport.get_extra_info("peername") or ("", 0)
        self.peer = (host, port)
        self._nonce = self._handshake.nonce()
        info = self.info(self._nonce)
        self.session.authorized = not self._handshake.auth_required
        self.session.identity = ANYBODY
        if self._tls is None:
            transport.write(info)
        else:
            # What comes up before TLS does is not for the open: it waits.
            self.session.pause_writing()
            self._upgrade = self._loop.create_task(self._start_tls(self._tls, info))
        self._signing_in = self._handshake.auth_required
        if self._signing_in:
            self._timer = self._loop.call_later(self._handshake.auth_timeout, self._not_authorized_in_time)
        else:
            self._ping_later()

    def _take(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        tcp: socket.socket | None = transport.get_extra_info("socket")
        if tcp is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def _read_into_session(self) -> None:
        """Have the transport call straight into the session, which parses what was read."""
        self.get_buffer = self.session.get_buffer  # type: ignore[method-assign]
        self.buffer_updated = self.session.buffer_updated  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.session.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Something came before TLS did, and so before INFO: that is no client of ours."""
        assert self._transport is not None
        self._transport.abort()

    async def _start_tls(self, context: ssl.SSLContext, info: bytes) -> None:
        """Upgrade after INFO, as NATS does. Nothing is awaited between the two: the client's hello, which
        answers INFO, must not meet the plain protocol."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(info)
        self._read_into_session()
        try:
            upgraded = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._handshake.auth_timeout + LAST_WORDS_SECONDS,
            )
        except (OSError, ssl.SSLError) as error:
            log.info("the TLS handshake of %s:%d failed: %r", *self.peer, error)
            self.connection_lost(None)
            return
        if upgraded is not None:
            self._take(upgraded)
            self._secured = True
            self.session.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self.session.closed()
        self._on_closed(self)

    def pause_writing(self) -> None:
        self.session.pause_writing()

    def resume_writing(self) -> None:
        self.session.resume_writing()

    def info(self, nonce: str = "", *, lame_duck: bool = False) -> bytes:
        """The INFO line for this client."""
        return self._handshake.info(self.session.cid, self.peer[0], nonce, self.type, lame_duck=lame_duck)

    @property
    def last_words(self) -> bytes | None:
        """Why it is closed, as -ERR says it; None where nothing is said."""
        return self.session.last_words if self.session.doomed else b"Server Shutdown"

    # The session's side.

    def write(self, data: bytes) -> None:
        """Write one turn's frames."""
        if self._transport is not None:
            self._transport.write(data)

    def pause(self) -> None:
        """Stop reading: what this client sends is more than others can take."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # The monitor's side.

    @property
    def pending_bytes(self) -> int:
        """What its socket has not taken yet."""
        held = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self.session.pending_bytes + held

    @property
    def cipher(self) -> tuple[str, str, int] | None:
        """Cipher suite, TLS version and bits; None without TLS."""
        if self._transport is None:
            return None
        return cast("tuple[str, str, int] | None", self._transport.get_extra_info("cipher"))

    # Ending.

    def close(self) -> None:
        """Write what is left and close; a peer that does not take it is cut off."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._secured:
            transport.write(self.session.take_output())
        transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LAST_WORDS_SECONDS, transport.abort)

    def connect(self, options: bytes) -> None:
        """CONNECT: the handshake's policy decides."""
        self._handshake.connect(self.session, options, self._nonce, self._signed_in)
        if self.session.waiting and self._signing_in and self._timer is not None:
            # The client did its part in time; how long its password takes to check is ours.
            self._timer.cancel()

    def _signed_in(self) -> None:
        if self._signing_in:
            self._signing_in = False
            if self._timer is not None:
                self._timer.cancel()
            self._ping_later()

    # Timers.

    def _not_authorized_in_time(self) -> None:
        self.session.close_with(b"Authentication Timeout")

    def _ping_later(self) -> None:
        self._timer = self._loop.call_later(self._handshake.ping_interval, self._ping)

    def _ping(self) -> None:
        """Ping a client that was silent, a PONG being no silence; close one that left too many unanswered."""
        heard = self.session.heard_bytes
        if heard != self._bytes_at_ping:
            self._bytes_at_ping = heard
            self._unanswered_pings = 0
        elif self._unanswered_pings >= self._handshake.ping_max:
            self.session.close_with(b"Stale Connection")
            return
        else:
            self._unanswered_pings += 1
            self.session.ping()
        self._ping_later()


class Refusal(asyncio.Protocol):
    """A connection past max_connections: told why, and closed."""

    last_words = b"maximum connections exceeded"

    def __init__(self, handshake: Handshake, kind: str = "nats") -> None:
        self._handshake = handshake
        self._kind = kind

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        transport.write(self._handshake.info(0, "", kind=self._kind) + b"-ERR '%s'\r\n" % self.last_words)
        transport.close()
