"""HTTP on the monitoring port: its connections, and which page a request is for."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from urllib.parse import unquote

from mq9fast.monitoring.http_connection import HttpConnection
from mq9fast.monitoring.page import Page, RefusedMessages, Route
from mq9fast.network.descriptors import MONITORING
from mq9fast.network.listen import listen, port_of

# Connections at a time. Past it the one goes that asked for nothing for the longest.
MAX_CONNECTIONS = MONITORING
METHODS = ("GET", "HEAD", "OPTIONS")
ALLOW = (("allow", ", ".join(METHODS)),)


class HttpServer:
    """Serves `routes`, by path. `start` raises StartError if it cannot listen."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self.requests: Counter[str] = Counter(dict.fromkeys(routes, 0))
        # Of all pages that are being sent, one at a time takes its slice.
        self.slice = asyncio.Lock()
        self.connections: dict[HttpConnection, None] = {}
        self._listeners: list[asyncio.Server] = []

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0 for a free one)."""
        self._listeners = await listen(lambda: HttpConnection(self), host, port, "the monitoring port")
        for listener in self._listeners:
            await listener.start_serving()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return port_of(self._listeners)

    def take(self, connection: HttpConnection) -> None:
        """Count a connection that is new or asks for a page, and end the oldest of too many."""
        self.connections.pop(connection, None)
        self.connections[connection] = None
        if len(self.connections) > MAX_CONNECTIONS:
            oldest = next(iter(self.connections))
            del self.connections[oldest]
            oldest.abort()

    def close(self) -> None:
        """Stop listening, and drop what is being answered."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.abort()

    def page(self, method: str, target: str) -> Page:
        """The answer to a request for a path, a path with a query, or an absolute URI of these."""
        path, query = split_target(target)
        route = self.routes.get(path)
        if method == "OPTIONS" and (route is not None or path == "*"):
            return Page(204, "", (), ALLOW)
        if route is None:
            return RefusedMessages(404, f"Not found. Try {', '.join(self.routes)}.").page()
        if method not in METHODS:
            sentence = f"Method not allowed. Use {', '.join(METHODS)}."
            return RefusedMessages(405, sentence).page()._replace(headers=ALLOW)
        self.requests[path] += 1
        try:
            return route(query)
        except RefusedMessages as refused:
            return refused.page()


def split_target(target: str) -> tuple[str, str]:
    """Path and query of the target of a request line (RFC 9112, 3.2), which may be a whole URI."""
    scheme, mark, rest = target.partition("://")
    if mark and scheme.lower() in {"http", "https"}:
        slash = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        target = rest[slash:]
        if not target.startswith("/"):
            target = "/" + target
    path, _, query = target.partition("?")
    return unquote(path, "latin-1"), query
