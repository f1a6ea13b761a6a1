"""The WebSocket port: a peer's HTTP request, and then NATS in WebSocket frames (RFC 6455).

`server/client_ports.py` creates a `WebSocketPort`, if it is configured, and listens with its `protocol`. A
`WebSocket` is the protocol of a transport until the peer's upgrade is accepted. After it a
`WebSocketConnection` is.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import cast

from mq9fast.config.settings import Settings
from mq9fast.network.listen import UNKNOWN_PEER, peer_of
from mq9fast.network.websocket.connection import WebSocketConnection, WebSocketRefusal
from mq9fast.network.websocket.cookies import cookie_names
from mq9fast.network.websocket.origins import Origins
from mq9fast.network.websocket.upgrade import Upgrade, UpgradeRules

log = logging.getLogger("mq9fast.websocket")

# The size of one read of a request.
READ_BYTES = 65536
# This many upgrades may run even if the broker is full: those clients get an -ERR that says so.
MIN_UPGRADES = 64
# What a peer gets that speaks HTTP without TLS on a port with TLS, as from nats-server.
PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nThis port serves HTTPS and WebSocket over TLS (wss) only.\n"
# How long a browser may take to read a page of the console.
PAGE_SECONDS = 60.0


class WebSocket(asyncio.BufferedProtocol):
    """One peer in its upgrade."""

    def __init__(self, port: "WebSocketPort") -> None:
        self._port = port
        self._upgrade = Upgrade(port.rules)
        self._timer: asyncio.TimerHandle | None = None
        self.peer = UNKNOWN_PEER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._port.upgrade_seconds, self._transport.abort)
        self._port.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_upgrade()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._port.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport.is_closing():
            return
        response = self._upgrade.receive(bytes(self._port.read_buffer[:nbytes]))
        if response is None:
            return
        self._transport.write(response.data)
        if response.is_page:
            self._end_page()
            return
        peer = peer_of(self._transport.get_extra_info("peername"))
        if self._port.forwarded_for and self._upgrade.forwarded_for:
            peer = (self._upgrade.forwarded_for, peer[1])
        if response.refusal:
            log.info("the WebSocket upgrade of %s:%d was refused: %s", *peer, response.refusal)
            self._transport.close()
            return
        self._connect(peer)

    def abort(self) -> None:
        """Close the socket at once."""
        self._transport.abort()

    def _connect(self, peer: tuple[str, int]) -> None:
        """The upgrade is accepted: from now on the transport reads for the connection."""
        self._end_upgrade()
        connection = self._port.connect()
        connection.peer = peer
        connection.cookies = self._upgrade.credentials
        if self._upgrade.compressed and isinstance(connection, WebSocketConnection):
            connection.session.use_compression()
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)

    def _end_page(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(PAGE_SECONDS, self._transport.abort)
        self._transport.close()

    def _end_upgrade(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._port.upgrading.discard(self)


class WebSocketPort:
    """What the WebSockets of one port share. `connect()` creates the connection for an upgraded peer.

    An upgrade must finish within auth_timeout. At most max(free_connections(), MIN_UPGRADES) upgrades run at
    a time, where `free_connections()` is how many more connections the broker accepts. `monitor_url(host)`:
    the URL of the monitoring port for browsers, "" if there is none; `host` is the broker's name for them.
    `tls`: None without TLS. Raises StartError if ws_origins is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        connect: Callable[[], WebSocketConnection | WebSocketRefusal],
        free_connections: Callable[[], int],
        monitor_url: Callable[[str], str],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connect = connect
        self.tls = tls
        self._free_connections = free_connections
        self.monitor_url = monitor_url
        self.upgrading: set[WebSocket] = set()
        # All peers share it: a read is handled before the next one starts.
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self._closed = False
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Use these settings from now on. Raises StartError, and changes nothing, if ws_origins is wrong."""
        self.rules = UpgradeRules(
            origins=Origins(settings),
            secure=self.tls is not None,
            serve_console=settings.console,
            cookies=cookie_names(settings),
            monitor_url=self.monitor_url,
            compression=settings.ws_compression,
        )
        self.forwarded_for = settings.ws_forwarded_for
        self.upgrade_seconds = settings.auth_timeout

    def protocol(self) -> WebSocket:
        """The asyncio protocol for a new peer."""
        return WebSocket(self)

    def add(self, peer: WebSocket) -> None:
        """Note a peer that starts its upgrade, or close its socket if there are too many."""
        self.upgrading.add(peer)
        if self._closed or len(self.upgrading) > max(self._free_connections(), MIN_UPGRADES):
            peer.abort()

    def close(self) -> None:
        """Close the peers in an upgrade. Peers that finish a TLS handshake later are closed by `add`."""
        self._closed = True
        for peer in list(self.upgrading):
            peer.abort()
