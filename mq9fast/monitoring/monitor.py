"""The monitoring port: an HTTP server for the pages.

`server/broker.py` creates and starts the `Monitor`, if there is such a port.
"""

from mq9fast.monitoring.http import HttpServer
from mq9fast.monitoring.routes import Pages


class Monitor:
    """The monitoring port of one broker. `start` raises StartError if it cannot listen."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._http = HttpServer(pages.routes, pages.requests)

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0 for a free one)."""
        await self._http.start(host, port)
        self._pages.varz.http_port = self.port

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._http.port

    def close(self) -> None:
        """Stop listening, and close all connections at once."""
        self._http.close()
