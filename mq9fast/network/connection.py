"""asyncio in front of a session: the socket, its timers, its back-pressure. No bytes are looked at here."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from mq9fast._core.delivery.delivery import MailboxSubscription
from mq9fast._core.engine import Engine
from mq9fast._core.session import Session
from mq9fast.auth.authenticator import ANONYMOUS
from mq9fast.network.handshake import Handshake
from mq9fast.network.listen import UNKNOWN_PEER, peer_of
from mq9fast.network.socket_options import limit_unsent_bytes, set_tcp_options, unacked_bytes

if TYPE_CHECKING:
    pass

log = logging.getLogger("mq9fast.connection")

# What a transport may hold before it says pause, and when it says resume: a message that a socket has not
# taken keeps its place behind more urgent ones only while it is not in here.
HIGH_WATER_BYTES = 65536
LOW_WATER_BYTES = 16384
# How long a closing connection may take to write its last words.
FINAL_WRITE_SECONDS = 2.0
# The same through TLS for a client that answers no pings: it will not answer the end of TLS either.
STALE_SECONDS = 0.05
STALE = b"Stale Connection"
TOO_MANY = b"maximum connections exceeded"
# How often in a write deadline a paused transport is looked at.
CHECKS_PER_DEADLINE = 4
# nats-server's figures: how long a new client has for its first PING before it may be pinged, and how old a
# round trip may become before it is taken again.
FIRST_PING_SECONDS = 2.0
ROUND_TRIP_NS = 3600 * 1_000_000_000


class Connection(asyncio.BufferedProtocol):
    """One connection. `on_closed(connection)` is called once it is gone.

    What comes up before its transport is there waits for it. `type` is how its client came, in nats-server's
    word for it: "nats" or "websocket".
    """

    def __init__(
        self,
        engine: Engine,
        handshake: Handshake,
        cid: int,
        on_closed: Callable[["Connection"], None],
        type: str = "nats",
    ) -> None:
        self.type = type
        self.session = Session(engine.pending_work, cid, engine, self)
        self.session.pause_writing()
        # The transport calls straight into the session, which parses what was read.
        self.get_buffer = self.session.get_buffer  # type: ignore[method-assign]
        self.buffer_updated = self.session.buffer_updated  # type: ignore[method-assign]
        # Set before the transport is there, if that does not know it.
        self.peer = UNKNOWN_PEER
        self._pending_work = engine.pending_work
        self._handshake = handshake
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        self._nonce = handshake.nonce()
        self._signing_in = False
        self._timer: asyncio.TimerHandle | None = None
        self._made_at = 0.0
        self._unanswered_pings = 0
        self._received_bytes = 0
        self._activity = 0
        self._watch: asyncio.TimerHandle | None = None
        self._unacked_bytes = -1
        self._stuck_since = 0.0

    def greeting(self) -> bytes:
        """The INFO for the client, to be sent ahead of the transport once `peer` is known."""
        self._greeted = True
        return self._handshake.info(self.session.cid, self.peer[0], self._nonce, self.type)

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        self._made_at = self._loop.time()
        # The session writes once a turn, and only while there is a transport.
        self.write = transport.write
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        set_tcp_options(transport.get_extra_info("socket"))
        if self.peer == UNKNOWN_PEER:
            self.peer = peer_of(transport.get_extra_info("peername"))
        if not self._greeted:
            transport.write(self.greeting())
        self.session.authorized = not self._handshake.auth_required
        self.session.identity = ANONYMOUS
        self.session.resume_writing()
        self._signing_in = self._handshake.auth_required
        if self._signing_in:
            self._timer = self._loop.call_later(self._handshake.auth_timeout, self._not_authorized_in_time)
        else:
            self._ping_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.session.connection is None:
            return
        self._transport = None
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        self.session.closed()
        self._on_closed(self)

    def pause_writing(self) -> None:
        self.session.pause_writing()
        self._unacked_bytes = -1
        if self._watch is None:
            self._look_later()

    def resume_writing(self) -> None:
        self.session.resume_writing()

    @property
    def close_reason(self) -> bytes | None:
        """Why it is closed, as -ERR says it; None where nothing is said."""
        return self.session.close_reason if self.session.closing else b"Server Shutdown"

    # The session's side.

    def pause(self) -> None:
        """Stop reading: what this client sends is more than others can take."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # The broker's side.

    def inform(self, *, lame_duck: bool = False) -> None:
        """Send INFO again: it changed."""
        info = self._handshake.info(
            self.session.cid, self.peer[0], self._nonce, self.type, lame_duck=lame_duck
        )
        self.session.write(info)

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
        transport.write(self.session.take_output())
        transport.close()
        if self._timer is not None:
            self._timer.cancel()
        is_stale = self.session.close_reason == STALE and self.cipher is not None
        patience = STALE_SECONDS if is_stale else FINAL_WRITE_SECONDS
        self._timer = self._loop.call_later(patience, transport.abort)

    def reads_mailboxes(self) -> None:
        """Its client subscribed to a mailbox for the first time."""
        if self._transport is not None:
            limit_unsent_bytes(self._transport.get_extra_info("socket"))

    def connect(self, options: bytes) -> None:
        """CONNECT: the handshake's policy decides."""
        self._handshake.connect(self.session, options, self._nonce, self._signed_in)
        if self.session.connect_pending and self._signing_in and self._timer is not None:
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
        """Ping a client that may be idle, and come again unless it is closed now, even if this fails."""
        stale = False
        try:
            stale = self._ping_or_close()
        finally:
            if not stale and self._transport is not None:
                self._ping_later()

    def _ping_or_close(self) -> bool:
        """Ping a client that did nothing for an interval; close one that left too many pings unanswered.
        Returns whether it is closed."""
        session = self.session
        if session.received_bytes != self._received_bytes:
            self._received_bytes = session.received_bytes
            self._unanswered_pings = 0
        if not self._is_to_be_pinged():
            return False
        if self._unanswered_pings >= self._handshake.ping_max:
            self._pending_work.stale_connections += 1
            session.close_with(STALE)
            return True
        self._unanswered_pings += 1
        session.ping()
        return False

    def _is_to_be_pinged(self) -> bool:
        """Whether it sent no message, SUB, UNSUB or PING since the last look, or its round trip is unknown or
        old. A PONG does not count: a client that only answers is pinged every interval, as by nats-server."""
        session, before = self.session, self._activity
        self._activity = session.in_messages + session.control_operations
        if not session.past_first_ping and self._loop.time() - self._made_at < FIRST_PING_SECONDS:
            return False
        timed = session.pinged_ns and time.monotonic_ns() - session.pinged_ns < ROUND_TRIP_NS
        return not timed or self._activity == before

    def _look_later(self) -> None:
        self._watch = self._loop.call_later(self._handshake.write_deadline / CHECKS_PER_DEADLINE, self._look)

    def _look(self) -> None:
        """Look at a paused client, and come again while it is paused, even if this fails."""
        self._watch = None
        if self._transport is None or self._transport.is_closing() or self.session.writable:
            return
        cut_off = False
        try:
            cut_off = self._cut_off_if_stuck(self._transport)
        finally:
            if not cut_off:
                self._look_later()

    def _cut_off_if_stuck(self, transport: asyncio.Transport) -> bool:
        """Cut off a client that took nothing for the deadline, while plain messages waited; whether it is."""
        untaken, now = transport.get_write_buffer_size(), self._loop.time()
        untaken += unacked_bytes(transport.get_extra_info("socket"))
        if untaken != self._unacked_bytes or not self.session.messages_wait or self._reads_mailboxes():
            self._unacked_bytes, self._stuck_since = untaken, now
        elif now - self._stuck_since >= self._handshake.write_deadline:
            log.info("%s:%d took nothing for %g seconds: cut off", *self.peer, now - self._stuck_since)
            self.session.cut_off()
            return True
        return False

    def _reads_mailboxes(self) -> bool:
        """Whether it may be mailboxes that fill its socket: it may take as long as it wants then."""
        subscriptions = self.session.subscriptions.values()
        return self.session.mailbox_bytes_unsent or any(
            isinstance(each, MailboxSubscription) for each in subscriptions
        )


class Refusal(asyncio.Protocol):
    """A connection past max_connections: told why, and closed; after INFO, unless TLS was to come first."""

    close_reason = TOO_MANY

    def __init__(self, handshake: Handshake, kind: str = "nats") -> None:
        self._handshake = handshake
        self._kind = kind
        self.greets = True
        self.peer = UNKNOWN_PEER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        if self.peer == UNKNOWN_PEER:
            self.peer = peer_of(transport.get_extra_info("peername"))
        info = self._handshake.info(0, self.peer[0], kind=self._kind) if self.greets else b""
        transport.write(info + b"-ERR '%b'\r\n" % self.close_reason)
        transport.close()
