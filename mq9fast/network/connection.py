"""The asyncio protocol of a client connection: its transport, its timers and its back-pressure.

`server/broker.py` creates a `Connection` for each client, and a `Refusal` if there are too many. Each
`Connection` has a `Session` of the core, which parses what is received, writes to the client, and asks to
pause, resume or close. This module never looks at the bytes.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

from mq9fast._core.delivery.delivery import MailboxSubscription
from mq9fast._core.delivery.events import EventSubscription
from mq9fast._core.engine import Engine
from mq9fast._core.session import Session
from mq9fast.auth.authenticator import ANONYMOUS, Link
from mq9fast.auth.certificate import Certificate
from mq9fast.network.close_reasons import (
    KICKED,
    SERVER_SHUTDOWN,
    SLOW_WRITE,
    TLS_FAILURE,
    reason_of_error,
    reason_of_loss,
)
from mq9fast.network.handshake import Handshake, set_identity
from mq9fast.network.listen import UNKNOWN_PEER, peer_of
from mq9fast.network.socket_options import limit_unsent_bytes, set_tcp_options, unacked_bytes
from mq9fast.network.tls import sent_certificates

log = logging.getLogger("mq9fast.connection")

# The transport pauses the session at the first of these sizes of its buffer, and resumes it at the second.
# They are small, because a message of a higher priority cannot overtake the messages in this buffer.
HIGH_WATER_BYTES = 65536
LOW_WATER_BYTES = 16384
# The time that a closing connection has to write its last output.
FINAL_WRITE_SECONDS = 2.0
# The same for a stale client with TLS: it answers no pings, so it will not answer the end of TLS either.
STALE_SECONDS = 0.05
STALE = b"Stale Connection"
TOO_MANY_CONNECTIONS = b"maximum connections exceeded"
# Checks of a paused transport per write deadline.
CHECKS_PER_DEADLINE = 4
# nats-server's values. A new client is not pinged before the first, unless it has sent its first PING. A
# round trip that is older than the second is measured again.
FIRST_PING_SECONDS = 2.0
ROUND_TRIP_NS = 3600 * 1_000_000_000


class Connection(asyncio.BufferedProtocol):
    """One client connection. It calls `on_closed(connection)` when it is closed.

    Output before `connection_made` waits for the transport. `client_type` is nats-server's name for the kind
    of connection.
    """

    client_type = "nats"
    session_type = Session
    # Whether the session's output is what the client gets, unless TLS encrypts it.
    writes_plainly = True

    def __init__(
        self,
        engine: Engine,
        handshake: Handshake,
        cid: int,
        on_closed: Callable[["Connection"], None],
    ) -> None:
        self.session = self.session_type(engine.pending_work, cid, engine, self)
        self.session.pause_writing()
        # The transport calls the session directly. The session parses what was read.
        self.get_buffer = self.session.get_buffer  # type: ignore[method-assign]
        self.buffer_updated = self.session.buffer_updated  # type: ignore[method-assign]
        # Address and port. Set before `connection_made` if a proxy tells them.
        self.peer = UNKNOWN_PEER
        self._pending_work = engine.pending_work
        self._handshake = handshake
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._info_sent = False
        self._nonce = handshake.nonce()
        self._auth_pending = False
        self._timer: asyncio.TimerHandle | None = None
        self._connected_at = 0.0
        self._unanswered_pings = 0
        self._received_bytes = 0
        self._operations = 0
        self._progress_timer: asyncio.TimerHandle | None = None
        self._unacked_bytes = -1
        self._stuck_since = 0.0
        # Why it ended, in nats-server's words; "" while it is open.
        self.end_reason = ""

    def first_info(self) -> bytes:
        """The first INFO. If it is sent before `connection_made`, `peer` must be set."""
        self._info_sent = True
        return self._handshake.info(self.session.cid, self.peer[0], self._nonce, self.client_type)

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        self._connected_at = self._loop.time()
        # The session writes at most once a turn, and only between resume_writing and connection_lost.
        self.write = transport.write
        self.unsent_bytes = transport.get_write_buffer_size
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        connection = transport.get_extra_info("socket")
        set_tcp_options(connection)
        if connection is not None and self.writes_plainly and self.cipher is None:
            self.session.descriptor = connection.fileno()
        if self._has_wrong_certificate():
            return
        if self.peer == UNKNOWN_PEER:
            self.peer = peer_of(transport.get_extra_info("peername"))
        if not self._info_sent:
            transport.write(self.first_info())
        identity = self._handshake.without_credentials(self.link)
        self.session.authorized = identity is not None
        set_identity(self.session, identity or ANONYMOUS)
        self.session.resume_writing()
        self._auth_pending = identity is None
        if self._auth_pending:
            self._timer = self._loop.call_later(self._handshake.auth_timeout, self._close_unauthorized)
        else:
            self._ping_later()

    def _has_wrong_certificate(self) -> bool:
        """Close the connection of a client with a certificate that is not pinned."""
        shown = self.peer_certificate
        if shown is None or self._handshake.accepts_certificate(shown[1]):
            return False
        log.info("closing %s:%d: its certificate is not in tls_pinned_certs", *self.peer)
        self.end_reason = TLS_FAILURE
        cast(asyncio.Transport, self._transport).abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.session.connection is None:
            return
        self.end_reason = self.end_reason or self._reason_of_end(exc)
        self._on_closed(self)
        self._transport = None
        for timer in (self._timer, self._progress_timer):
            if timer is not None:
                timer.cancel()
        self.session.closed()

    def _reason_of_end(self, exc: Exception | None) -> str:
        if self._transport is None:
            return TLS_FAILURE
        return reason_of_error(self.session.close_reason) if self.session.closing else reason_of_loss(exc)

    def pause_writing(self) -> None:
        self.session.pause_writing()
        self._unacked_bytes = -1
        if self._progress_timer is None:
            self._check_progress_later()

    def resume_writing(self) -> None:
        self.session.resume_writing()

    @property
    def close_reason(self) -> bytes | None:
        """The text of the -ERR that it is closed with; None if there is no -ERR."""
        return self.session.close_reason if self.session.closing else b"Server Shutdown"

    # Called by the session.

    def pause(self) -> None:
        """Stop reading from the socket."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read from the socket again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # Called by the broker.

    def send_info(self, *, lame_duck: bool = False) -> None:
        """Send INFO again, because a field of it changed.

        Many clients take the first line after their CONNECT and PING for PONG. So, as on nats-server, a
        client that has not sent its first PING gets INFO after that PONG.
        """
        info = self._handshake.info(
            self.session.cid, self.peer[0], self._nonce, self.client_type, lame_duck=lame_duck
        )
        if self.session.past_first_ping:
            self.session.write(info)
        else:
            self.session.after_first_ping = info

    @property
    def pending_bytes(self) -> int:
        """Bytes that the socket has not accepted yet."""
        buffered = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self.session.pending_bytes + buffered

    @property
    def cipher(self) -> tuple[str, str, int] | None:
        """Cipher suite, TLS version and secret bits; None without TLS."""
        if self._transport is None:
            return None
        return cast("tuple[str, str, int] | None", self._transport.get_extra_info("cipher"))

    @property
    def link(self) -> Link:
        """What authenticates the client besides the credentials of its CONNECT."""
        certificate = None if self._transport is None else self._transport.get_extra_info("peercert")
        return Link(self.client_type, self._nonce, certificate or None)

    @property
    def peer_certificate(self) -> tuple[Certificate, bytes] | None:
        """The verified certificate of the client and its DER; None without one."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if tls is None:
            return None
        der = tls.getpeercert(binary_form=True)
        return None if der is None else (tls.getpeercert(), der)

    @property
    def peer_certificates(self) -> list[tuple[Certificate, bytes]]:
        """Its certificate, and those of authorities that the client sent with it, with the DER of each."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        sent = [] if tls is None else sent_certificates(tls)
        own = self.peer_certificate
        return sent or ([] if own is None else [own])

    def kick(self) -> None:
        """Close it because a user with `system` said so."""
        self.end_reason = KICKED
        self.session.close_with(None)

    def close(self) -> None:
        """Write the remaining output and close. If the client does not read it in time, abort."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not self.session.closing:
            self.end_reason = SERVER_SHUTDOWN
        self.session.descriptor = -1
        transport.write(self.last_output())
        transport.close()
        if self._timer is not None:
            self._timer.cancel()
        is_stale = self.session.close_reason == STALE and self.cipher is not None
        timeout = STALE_SECONDS if is_stale else FINAL_WRITE_SECONDS
        self._timer = self._loop.call_later(timeout, transport.abort)

    def last_output(self) -> bytes:
        """What is written last, before the close."""
        return self.session.take_output()

    def mailbox_subscribed(self) -> None:
        """The client made its first subscription to a mailbox."""
        if self._transport is not None:
            limit_unsent_bytes(self._transport.get_extra_info("socket"))

    def connect(self, options: bytes) -> None:
        """The client sent a CONNECT with these options (JSON)."""
        self._handshake.connect(self.session, options, self.link, self._authenticated)
        if self.session.connect_pending and self._auth_pending and self._timer is not None:
            # The client was in time. The timeout does not include checking its password.
            self._timer.cancel()

    def _authenticated(self) -> None:
        if self._auth_pending:
            self._auth_pending = False
            if self._timer is not None:
                self._timer.cancel()
            self._ping_later()

    # Timers.

    def _close_unauthorized(self) -> None:
        self.session.close_with(b"Authentication Timeout")

    def _ping_later(self) -> None:
        self._timer = self._loop.call_later(self._handshake.ping_interval, self._ping)

    def _ping(self) -> None:
        """Ping the client if necessary. Start the timer again unless it is closed, even after an error."""
        stale = False
        try:
            stale = self._ping_or_close()
        finally:
            if not stale and self._transport is not None:
                self._ping_later()

    def _ping_or_close(self) -> bool:
        """Ping an idle client. Close one that left too many pings unanswered. Returns whether it closed."""
        session = self.session
        if session.received_bytes != self._received_bytes:
            self._received_bytes = session.received_bytes
            self._unanswered_pings = 0
        if not self._needs_ping():
            return False
        if self._unanswered_pings >= self._handshake.ping_max:
            self._pending_work.stale_connections += 1
            session.close_with(STALE)
            return True
        self._unanswered_pings += 1
        session.ping()
        return False

    def _needs_ping(self) -> bool:
        """Whether the client was idle since the last timer, or its round trip is not known or old.

        Messages, SUB, UNSUB and PING count as activity. As on nats-server, PONG does not: a client that only
        answers is pinged every interval.
        """
        session, before = self.session, self._operations
        self._operations = session.in_messages + session.control_operations
        if not session.past_first_ping and self._loop.time() - self._connected_at < FIRST_PING_SECONDS:
            return False
        timed = session.pinged_ns and time.monotonic_ns() - session.pinged_ns < ROUND_TRIP_NS
        return not timed or self._operations == before

    def _check_progress_later(self) -> None:
        self._progress_timer = self._loop.call_later(
            self._handshake.write_deadline / CHECKS_PER_DEADLINE, self._check_progress
        )

    def _check_progress(self) -> None:
        """Check a paused client, and start the timer again while it is paused, even after an error."""
        self._progress_timer = None
        if self._transport is None or self._transport.is_closing() or self.session.writable:
            return
        closed = False
        try:
            closed = self._close_if_stuck(self._transport)
        finally:
            if not closed:
                self._check_progress_later()

    def _close_if_stuck(self, transport: asyncio.Transport) -> bool:
        """Close a client that received nothing for write_deadline while plain messages waited for it.

        Returns whether it closed.
        """
        unreceived, now = transport.get_write_buffer_size(), self._loop.time()
        unreceived += unacked_bytes(transport.get_extra_info("socket"))
        if (
            unreceived != self._unacked_bytes
            or not self.session.messages_wait
            or self._may_wait_for_mailboxes()
        ):
            self._unacked_bytes, self._stuck_since = unreceived, now
        elif now - self._stuck_since >= self._handshake.write_deadline:
            log.info("closing %s:%d: it received nothing for %g seconds", *self.peer, now - self._stuck_since)
            self.end_reason = SLOW_WRITE
            self.session.cut_off()
            return True
        return False

    def _may_wait_for_mailboxes(self) -> bool:
        """Whether the unsent bytes may be of mailboxes. For those the client may take as long as it wants."""
        subscriptions = self.session.subscriptions.values()
        return self.session.mailbox_bytes_unsent or any(
            isinstance(each, MailboxSubscription | EventSubscription) for each in subscriptions
        )


class Refusal(asyncio.Protocol):
    """The protocol of a connection past max_connections: sends INFO and an -ERR, and closes.

    If TLS would come first, there is no INFO, and the -ERR is not encrypted.
    """

    close_reason = TOO_MANY_CONNECTIONS
    client_type = "nats"

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self.sends_info = True
        self.peer = UNKNOWN_PEER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        if self.peer == UNKNOWN_PEER:
            self.peer = peer_of(transport.get_extra_info("peername"))
        transport.write(self.output())
        transport.close()

    def output(self) -> bytes:
        """All that is sent."""
        info = self._handshake.info(0, self.peer[0], client_type=self.client_type) if self.sends_info else b""
        return info + b"-ERR '%b'\r\n" % self.close_reason
