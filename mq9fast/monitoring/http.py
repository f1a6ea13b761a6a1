"""The HTTP server of the monitoring port: it listens, bounds its connections, and finds the page for a
request.

`monitor.py` creates it with the pages. It knows no page's content. `http_connection.py` speaks HTTP with
a client.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mq9fast.monitoring.page import HttpError, Page, PageTable
from mq9fast.network.descriptors import MONITORING_CONNECTIONS
from mq9fast.network.listen import listen, port_of

if TYPE_CHECKING:
    from mq9fast.monitoring.http_connection import HttpConnection

# When there is one more, the connection whose last request is the oldest is closed.
MAX_CONNECTIONS = MONITORING_CONNECTIONS
HANDSHAKE_SECONDS = 2.0
METHODS = ("GET", "HEAD", "OPTIONS")
SLASHES = re.compile("/+")
ALLOW_HEADER = (("allow", ", ".join(METHODS)),)


class HttpServer:
    """Serves the pages that `pages()` returns. `start` raises StartError if it cannot listen.

    `pages` is called for requests only, because a start must be quick. `base_path`: comes before each path.
    """

    def __init__(self, pages: Callable[[], PageTable], base_path: str = "") -> None:
        self._pages = pages
        self._base_path = base_path
        # One response at a time makes pieces of its page, so that many requests slow the broker no more than
        # one.
        self.slice_lock = asyncio.Lock()
        # The connection whose last request is the oldest comes first.
        self.connections: dict[HttpConnection, None] = {}
        self._listeners: list[asyncio.Server] = []

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen on `host` and `port` (0 for a free one), with HTTPS if there is a context."""
        named = {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE_SECONDS}
        self._listeners = await listen(self._protocol, host, port, "monitor_port", **named)
        for listener in self._listeners:
            await listener.start_serving()

    def _protocol(self) -> "HttpConnection":
        # Imported late, to start faster.
        from mq9fast.monitoring.http_connection import HttpConnection

        return HttpConnection(self)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return port_of(self._listeners)

    def mark_active(self, connection: "HttpConnection") -> None:
        """Note that a connection is new or has a request. Closes another one if there are too many."""
        self.connections.pop(connection, None)
        self.connections[connection] = None
        if len(self.connections) > MAX_CONNECTIONS:
            oldest = next(iter(self.connections))
            del self.connections[oldest]
            oldest.abort()

    def close(self) -> None:
        """Stop listening, and close all connections at once."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.abort()

    def page(self, method: str, target: str) -> Page:
        """The response to a request. `target` is a path, a path with a query, or an absolute URI of these."""
        path, query = split_target(target)
        pages = self._pages()
        clean = SLASHES.sub("/", path)
        if clean != path and self._without_base(clean) in pages.routes:
            # As on nats-server, for clients that join an address that ends with a slash and a path.
            return Page(307, "", (), (("location", clean + (f"?{query}" if query else "")),))
        path = self._without_base(path)
        route = pages.routes.get(path)
        if method == "OPTIONS" and (route is not None or path == "*"):
            return Page(204, "", (), ALLOW_HEADER)
        if route is None:
            return HttpError(
                404, f"Not found. Try {', '.join(self._base_path + it for it in pages.routes)}."
            ).page()
        if method not in METHODS:
            sentence = f"Method not allowed. Use {', '.join(METHODS)}."
            return HttpError(405, sentence).page()._replace(headers=ALLOW_HEADER)
        pages.requests[path] += 1
        try:
            return route(query)
        except HttpError as error:
            return error.page()

    def _without_base(self, path: str) -> str:
        """The path below the base path; "" if it is not there."""
        if not self._base_path or path == "*":
            return path
        rest = path.removeprefix(self._base_path)
        return "" if rest == path or rest[:1] not in {"", "/"} else rest or "/"


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target (RFC 9112, 3.2), which may be an absolute URI."""
    scheme, separator, rest = target.partition("://")
    if separator and scheme.lower() in {"http", "https"}:
        slash = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        target = rest[slash:]
        if not target.startswith("/"):
            target = "/" + target
    path, _, query = target.partition("?")
    return unquote(path, "latin-1"), query
