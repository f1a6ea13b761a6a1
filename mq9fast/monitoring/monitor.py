"""The monitoring port: an HTTP server for the pages.

`server/broker.py` creates and starts the `Monitor`, if there is such a port.
"""

import ssl
from collections.abc import Callable

from mq9fast.monitoring.http import HttpServer
from mq9fast.monitoring.page import PageTable


class Monitor:
    """The monitoring port of one broker. `start` raises StartError if it cannot listen."""

    def __init__(self, pages: Callable[[], PageTable], base_path: str = "") -> None:
        """`pages` is called when there is a request. `base_path` comes before the path of each page."""
        self._http = HttpServer(pages, base_path)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen on `host` and `port` (0 for a free one), with HTTPS if there is a context."""
        await self._http.start(host, port, tls)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._http.port

    def close(self) -> None:
        """Stop listening, and close all connections at once."""
        self._http.close()
