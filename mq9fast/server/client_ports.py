"""The ports for clients: the one for NATS, and the one for WebSocket if there is one.

`server/broker.py` binds the port for NATS, whose number is in INFO, and gives it to `ClientPorts`. asyncio
accepts connections without TLS and PROXY header; an `Admission` accepts all others.
"""

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mq9fast.config.settings import Settings
from mq9fast.network.admission import Admission
from mq9fast.network.connection import Connection, Refusal
from mq9fast.network.handshake import Handshake
from mq9fast.network.listen import BACKLOG, in_url, listen, port_of

if TYPE_CHECKING:
    from mq9fast.network.websocket.port import WebSocket, WebSocketPort

log = logging.getLogger("mq9fast.broker")


class ClientPorts:
    """`listeners` are bound for NATS clients and do not accept yet. `connect()` makes the protocol of one.

    `websocket`: the WebSocket port, None without one.
    """

    def __init__(
        self,
        settings: Settings,
        handshake: Handshake,
        listeners: list[asyncio.Server],
        connect: Callable[[], Connection | Refusal],
    ) -> None:
        self._settings = settings
        self._handshake = handshake
        self._listeners = listeners
        self._connect = connect
        self._admission: Admission | None = None
        self.websocket: WebSocketPort | None = None
        self._websocket_listeners: list[asyncio.Server] = []
        self._websocket_admission: Admission | None = None

    async def open_websocket(
        self,
        tls: ssl.SSLContext | None,
        connection: Callable[..., Any],
        free_connections: Callable[[], int],
        monitor_url: Callable[[str], str],
    ) -> None:
        """Bind the WebSocket port. `connection(type, refusal_type)` makes a connection of one of these types;
        the other two are those of `WebSocketPort`. Raises StartError."""
        # Imported only if there is such a port, because imports are a large part of a start.
        from mq9fast.network.websocket.connection import WebSocketConnection, WebSocketRefusal
        from mq9fast.network.websocket.port import WebSocketPort

        settings = self._settings
        connect = functools.partial(connection, WebSocketConnection, WebSocketRefusal)
        websocket = WebSocketPort(settings, connect, free_connections, monitor_url, tls)
        self._websocket_listeners = listeners = await listen(
            websocket.protocol, settings.ws_host, settings.ws_port, "ws_port", backlog=BACKLOG
        )
        port = port_of(listeners)
        # `connect_urls` has addresses of the client port: WebSocket clients do not get them.
        self._handshake.info_overrides["websocket"] = {
            "host": settings.ws_host,
            "port": port,
            "connect_urls": None,
            "tls_available": None,
            **_tls_fields(tls),
        }
        self.websocket = websocket
        scheme = "ws" if tls is None else "wss"
        log.info("listening for WebSocket clients on %s://%s:%d", scheme, in_url(settings.ws_host), port)
        if websocket.rules.origins.all and not self._handshake.auth_required:
            log.warning(
                "any web page in a browser that reaches the WebSocket port may connect: see ws_origins"
            )

    async def start(self, tls: ssl.SSLContext | None) -> None:
        """Accept connections. `tls`: for NATS clients."""
        if self.websocket is not None and self.websocket.tls is not None:
            self._websocket_admission = self._admit_websockets(self.websocket, self.websocket.tls)
        elif self.websocket is not None:
            await _start_serving(self._websocket_listeners)
        if tls is not None or self._settings.proxy_protocol:
            self._admission = self._admit_clients(tls)
        else:
            await _start_serving(self._listeners)

    def set_tls(
        self, settings: Settings, tls: ssl.SSLContext | None, websocket_tls: ssl.SSLContext | None
    ) -> None:
        """Use these settings and contexts for clients that connect from now on; None turns TLS off."""
        self._settings = settings
        self._handshake.tls = tls
        if self._admission is not None:
            self._admission.context = tls
            self._admission.allow_non_tls = settings.allow_non_tls
        elif tls is not None:
            self._admission = self._admit_clients(tls)
            _close(self._listeners)
        if self.websocket is None:
            return
        self.websocket.tls = websocket_tls
        self._handshake.info_overrides["websocket"] |= _tls_fields(websocket_tls)
        if self._websocket_admission is not None:
            self._websocket_admission.context = websocket_tls
        elif websocket_tls is not None:
            self._websocket_admission = self._admit_websockets(self.websocket, websocket_tls)
            _close(self._websocket_listeners)

    def close(self) -> None:
        """Stop accepting connections, including peers still in a TLS or WebSocket handshake."""
        _close([*self._listeners, *self._websocket_listeners])
        for admission in (self._admission, self._websocket_admission):
            if admission is not None:
                admission.close()
        if self.websocket is not None:
            self.websocket.close()

    def _admit_clients(self, tls: ssl.SSLContext | None) -> Admission:
        first, proxy_protocol = self._settings.tls_handshake_first, self._settings.proxy_protocol
        return self._admit(self._listeners, self._connect, tls, first, proxy_protocol=proxy_protocol)

    def _admit_websockets(self, port: "WebSocketPort", tls: ssl.SSLContext) -> Admission:
        from mq9fast.network.websocket.port import PLAIN_HTTP

        return self._admit(self._websocket_listeners, port.protocol, tls, "on", http_refusal=PLAIN_HTTP)

    def _admit(
        self,
        listeners: list[asyncio.Server],
        connect: Callable[[], "Connection | Refusal | WebSocket"],
        tls: ssl.SSLContext | None,
        handshake_first: str,
        *,
        proxy_protocol: bool = False,
        http_refusal: bytes = b"",
    ) -> Admission:
        return Admission(
            listeners,
            connect,
            tls,
            proxy_protocol=proxy_protocol,
            handshake_seconds=lambda: self._handshake.auth_timeout,
            handshake_first=handshake_first,
            handshake_rate=lambda: self._handshake.tls_handshake_rate,
            allow_non_tls=self._settings.allow_non_tls,
            http_refusal=http_refusal,
            backlog=BACKLOG,
        )


async def _start_serving(listeners: list[asyncio.Server]) -> None:
    for listener in listeners:
        await listener.start_serving()


def _tls_fields(tls: ssl.SSLContext | None) -> dict[str, bool]:
    """The fields of INFO about TLS."""
    verifies = tls is not None and tls.verify_mode == ssl.CERT_REQUIRED
    return {"tls_required": tls is not None, "tls_verify": verifies}


def _close(listeners: list[asyncio.Server]) -> None:
    """Stop accepting on sockets, of which an `Admission` may have copies: nothing else may accept on them."""
    for listener in listeners:
        listener.close()
