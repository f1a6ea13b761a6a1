"""Accepts connections on ports with a PROXY header or TLS before the protocol of the client.

`server/client_ports.py` creates an `Admission` for each such port; asyncio accepts on all others. It reads
the socket itself until the PROXY header is complete and TLS can start. Then a transport takes over.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mq9fast.network.connection import Connection, Refusal
from mq9fast.network.listen import peer_of
from mq9fast.network.proxy import ProxyError, receive_header
from mq9fast.network.socket_options import wait_readable
from mq9fast.network.tls import handshake_socket
from mq9fast.network.turn_limiter import TurnLimiter

if TYPE_CHECKING:
    from mq9fast.network.websocket.port import WebSocket

log = logging.getLogger("mq9fast.admission")

# The time that the broker waits for TLS with tls_handshake_first = "auto". nats-server's default.
FALLBACK_SECONDS = 0.05
# The first byte of a TLS handshake.
TLS_HANDSHAKE = b"\x16"
# nats-server's words for a client past tls_handshake_rate.
THROTTLED = b"-ERR 'Connection throttling is active. Please try again later.'\r\n"
# Accepting fails without file descriptors. They come back when connections close.
ACCEPT_RETRY_SECONDS = 0.1
# TLS handshakes that start in one turn of the event loop. Each takes up to a millisecond of CPU.
HANDSHAKES_PER_TURN = 8
# The first bytes of a request, as many as a TLS record has before its content.
HTTP_STARTS = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO")
REQUEST_BYTES = 65536


class Admission:
    """Accepts connections on the sockets of `listeners`, and creates a protocol for each with `connect()`.

    It receives a PROXY header if `proxy_protocol` is set, and does a TLS handshake if there is a `context`.
    `handshake_first` is the setting tls_handshake_first, and `allow_non_tls` the one of that name. If INFO
    comes before TLS, it is sent before the transport exists, so that TLS reads everything that the client
    sends. The PROXY header, the start of the TLS handshake and its end may take `handshake_seconds()` each. A
    peer that speaks HTTP instead of TLS gets `http_refusal`.
    """

    def __init__(
        self,
        listeners: list[asyncio.Server],
        connect: Callable[[], "Connection | Refusal | WebSocket"],
        context: ssl.SSLContext | None,
        *,
        proxy_protocol: bool,
        handshake_seconds: Callable[[], float],
        handshake_first: str,
        handshake_rate: Callable[[], int],
        allow_non_tls: bool,
        backlog: int,
        http_refusal: bytes = b"",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        # A reload may replace these, and set no context.
        self.context = context
        self.allow_non_tls = allow_non_tls
        self._proxy_protocol = proxy_protocol
        self._handshake_seconds = handshake_seconds
        self._handshake_first = handshake_first
        self._http_refusal = http_refusal
        self._handshake_rate = handshake_rate
        # Handshakes begun in this second, and its end by the loop's clock.
        self._begun = 0
        self._second_ends = 0.0
        self._handshake_limiter = TurnLimiter(HANDSHAKES_PER_TURN)
        self._tasks: set[asyncio.Task[None]] = set()
        self.listeners = listeners
        for bound in [bound for listener in listeners for bound in listener.sockets]:
            # asyncio's wrappers of the sockets have no accept().
            listener = socket.socket(fileno=os.dup(bound.fileno()))
            listener.listen(backlog)
            listener.setblocking(False)
            self._start_task(self._accept(listener))

    def close(self) -> None:
        """Stop accepting, and close the connections whose handshakes are not finished."""
        for task in self._tasks:
            task.cancel()

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    client, name = await self._loop.sock_accept(listener)
                except OSError:
                    await asyncio.sleep(ACCEPT_RETRY_SECONDS)
                else:
                    client.setblocking(False)
                    self._start_task(self._admit(client, peer_of(name)))

    async def _admit(self, client: socket.socket, peer: tuple[str, int]) -> None:
        protocol = self._connect()
        protocol.peer = peer
        try:
            if self._proxy_protocol:
                protocol.peer = await receive_header(client, self._handshake_seconds()) or peer
            if self.context is None:
                await self._loop.connect_accepted_socket(lambda: protocol, client)
            else:
                await self._begin_tls(client, protocol, self.context)
        except EOFError:
            # The peer closed without sending a byte, as port checks do. This is worth no log line.
            self._drop(protocol, client)
        except ProxyError as error:
            log.info("the PROXY header of %s:%d cannot be used: %s", *peer, error)
            self._drop(protocol, client)
        except (OSError, ssl.SSLError) as error:
            reason = str(error) or type(error).__name__
            log.info("the TLS handshake of %s:%d failed: %s", *protocol.peer, reason)
            self._drop(protocol, client)
        except asyncio.CancelledError:
            self._drop(protocol, client)
            raise

    async def _begin_tls(
        self, client: socket.socket, protocol: "Connection | Refusal | WebSocket", context: ssl.SSLContext
    ) -> None:
        tls_first = self._handshake_first == "on" or (
            self._handshake_first == "auto" and await self._starts_tls(client)
        )
        if isinstance(protocol, Refusal):
            protocol.sends_info = not tls_first
            await self._loop.connect_accepted_socket(lambda: protocol, client)
            return
        if not tls_first and isinstance(protocol, Connection):
            await self._loop.sock_sendall(client, protocol.first_info())
        if self.allow_non_tls and not tls_first and not await self._wants_tls(client):
            await self._loop.connect_accepted_socket(lambda: protocol, client)
            return
        await self._client_hello(client)
        if not self._allows_another():
            # Bytes that nobody has read would make the system reset the connection instead of ending it.
            client.recv(REQUEST_BYTES)
            if isinstance(protocol, Connection):
                await self._loop.sock_sendall(client, THROTTLED)
            raise ConnectionAbortedError("tls_handshake_rate is reached")
        if self._http_refusal:
            await self._refuse_http(client)
        handshake_socket.set(client)
        await self._loop.connect_accepted_socket(
            lambda: protocol, client, ssl=context, ssl_handshake_timeout=self._handshake_seconds()
        )

    def _allows_another(self) -> bool:
        """Whether another handshake may begin in this second."""
        now, rate = self._loop.time(), self._handshake_rate()
        if now >= self._second_ends:
            self._begun, self._second_ends = 0, now + 1.0
        self._begun += 1
        return rate == 0 or self._begun <= rate

    async def _client_hello(self, client: socket.socket) -> None:
        """Wait until the client starts its handshake, and the limit of handshakes per turn allows it."""
        seconds = self._handshake_seconds()
        try:
            await asyncio.wait_for(wait_readable(client), seconds)
        except asyncio.TimeoutError:
            raise ConnectionAbortedError(f"the client did not start it within {seconds:g} seconds") from None
        await self._handshake_limiter.wait()

    async def _refuse_http(self, client: socket.socket) -> None:
        """Answer a peer that speaks HTTP, and raise ConnectionAbortedError."""
        start = client.recv(max(map(len, HTTP_STARTS)), socket.MSG_PEEK)
        if start and any(each.startswith(start) for each in HTTP_STARTS):
            # Bytes that nobody has read would make the system reset the connection instead of ending it.
            client.recv(REQUEST_BYTES)
            await self._loop.sock_sendall(client, self._http_refusal)
            raise ConnectionAbortedError("the client speaks HTTP without TLS")

    def _drop(self, protocol: "Connection | Refusal | WebSocket", client: socket.socket) -> None:
        protocol.connection_lost(None)
        client.close()

    async def _wants_tls(self, client: socket.socket) -> bool:
        """Whether the client begins a TLS handshake after INFO. One that sends nothing in time does not."""
        try:
            await asyncio.wait_for(wait_readable(client), self._handshake_seconds())
        except asyncio.TimeoutError:
            return False
        return client.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE

    async def _starts_tls(self, client: socket.socket) -> bool:
        """Whether the client sends something before it receives INFO."""
        try:
            await asyncio.wait_for(wait_readable(client), FALLBACK_SECONDS)
        except asyncio.TimeoutError:
            return False
        return True
