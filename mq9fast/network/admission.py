"""Ports where something comes before the protocol of the peer: a PROXY header, or TLS.

TLS begins after INFO in the open, or with the first byte.
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
from mq9fast.network.proxy import ProxyError, receive_header, wait_readable
from mq9fast.network.tls import handshake_socket
from mq9fast.network.turn_limiter import TurnLimiter

if TYPE_CHECKING:
    from mq9fast.network.websocket.port import WebSocket

log = logging.getLogger("mq9fast.admission")

# How long `auto` waits for a client to begin: nats-server's figure.
FALLBACK_SECONDS = 0.05
# Without descriptors there is nobody to accept; they come back as connections go.
RETRY_SECONDS = 0.1
# TLS handshakes that begin in one round of the event loop: each takes up to a millisecond of the processor.
HANDSHAKES_AT_ONCE = 8


class Admission:
    """Accepts on bound sockets, and makes of each client a `connect()` once what comes first is done.

    That is a PROXY header where `proxied`, then TLS where there is a `context`. With TLS, INFO is on its way
    before the transport exists, so that whatever the client answers meets TLS and nothing else. `first` is
    the setting tls_handshake_first. A header may take `handshake_seconds()`, a handshake as long again to
    begin, and as long again to end.
    """

    def __init__(
        self,
        listeners: list[asyncio.Server],
        connect: Callable[[], "Connection | Refusal | WebSocket"],
        context: ssl.SSLContext | None,
        *,
        proxied: bool,
        handshake_seconds: Callable[[], float],
        first: str,
        backlog: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._context = context
        self._proxied = proxied
        self._handshake_seconds = handshake_seconds
        self._first = first
        self._handshake_limiter = TurnLimiter(HANDSHAKES_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self.listeners = listeners
        for each in [bound for listener in listeners for bound in listener.sockets]:
            # The loop's own wrappers cannot be accepted on.
            listener = socket.socket(fileno=os.dup(each.fileno()))
            listener.listen(backlog)
            listener.setblocking(False)
            self._run(self._accept(listener))

    def close(self) -> None:
        """Stop accepting, and give up the handshakes that are not done."""
        for task in self._tasks:
            task.cancel()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    client, name = await self._loop.sock_accept(listener)
                except OSError:
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    client.setblocking(False)
                    self._run(self._admit(client, peer_of(name)))

    async def _admit(self, client: socket.socket, peer: tuple[str, int]) -> None:
        protocol = self._connect()
        protocol.peer = peer
        try:
            if self._proxied:
                protocol.peer = await receive_header(client, self._handshake_seconds()) or peer
            if self._context is None:
                await self._loop.connect_accepted_socket(lambda: protocol, client)
            else:
                await self._begin_tls(client, protocol, self._context)
        except EOFError:
            # So do those that look whether the port is open.
            self._give_up(protocol, client)
        except ProxyError as error:
            log.info("the PROXY header of %s:%d cannot be used: %s", *peer, error)
            self._give_up(protocol, client)
        except (OSError, ssl.SSLError) as error:
            log.info("the TLS handshake of %s:%d failed: %r", *protocol.peer, error)
            self._give_up(protocol, client)
        except asyncio.CancelledError:
            self._give_up(protocol, client)
            raise

    async def _begin_tls(
        self, client: socket.socket, protocol: "Connection | Refusal | WebSocket", context: ssl.SSLContext
    ) -> None:
        tls_first = self._first == "on" or (self._first == "auto" and await self._begins(client))
        if isinstance(protocol, Refusal):
            protocol.greets = not tls_first
            await self._loop.connect_accepted_socket(lambda: protocol, client)
            return
        if not tls_first and isinstance(protocol, Connection):
            await self._loop.sock_sendall(client, protocol.greeting())
        await self._hello(client)
        handshake_socket.set(client)
        await self._loop.connect_accepted_socket(
            lambda: protocol, client, ssl=context, ssl_handshake_timeout=self._handshake_seconds()
        )

    async def _hello(self, client: socket.socket) -> None:
        """Wait until the client has begun its handshake, and it is this handshake's turn."""
        seconds = self._handshake_seconds()
        try:
            await asyncio.wait_for(wait_readable(client), seconds)
        except asyncio.TimeoutError:
            raise ConnectionAbortedError(f"it did not begin in {seconds:g} seconds") from None
        await self._handshake_limiter.wait()

    def _give_up(self, protocol: "Connection | Refusal | WebSocket", client: socket.socket) -> None:
        protocol.connection_lost(None)
        client.close()

    async def _begins(self, client: socket.socket) -> bool:
        """Whether the client says something before it is told anything."""
        try:
            await asyncio.wait_for(wait_readable(client), FALLBACK_SECONDS)
        except asyncio.TimeoutError:
            return False
        return True
