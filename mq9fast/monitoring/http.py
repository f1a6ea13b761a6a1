"""HTTP on the monitoring port. Pages are sent piece by piece, so that no page holds up the broker."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import cast

import h11

from mq9fast.descriptors import RESERVED
from mq9fast.listen import listen, port_of
from mq9fast.monitoring.page import Page, Refused, Route

log = logging.getLogger("mq9fast.monitoring")

# A client that does not finish its request, or does not read on, is cut off.
PATIENCE_SECONDS = 10.0
# What is made of pages before the rest of the broker runs, and for how long it then runs undisturbed.
SLICE_SECONDS = 0.001
SLICE_BYTES = 65536
REST_SECONDS = 0.001
# Connections at a time: half of the descriptors that are kept from clients. Past it the oldest has to go.
MOST_CONNECTIONS = RESERVED // 2
HIGH_WATER_BYTES = 4 * SLICE_BYTES


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

    def take(self, connection: "HttpConnection") -> None:
        """Count a new connection, at the cost of the oldest if there are too many."""
        self.connections[connection] = None
        if len(self.connections) > MOST_CONNECTIONS:
            oldest = next(iter(self.connections))
            del self.connections[oldest]
            oldest.abort()

    def close(self) -> None:
        """Stop listening, and drop what is being answered."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.abort()


class HttpConnection(asyncio.Protocol):
    """One HTTP connection: a request, an answer, closed."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._server.take(self)
        self._timer = self._loop.call_later(PATIENCE_SECONDS, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.pop(self, None)
        self._timer.cancel()
        if self._answer is not None:
            self._answer.cancel()

    def abort(self) -> None:
        """Cut it off."""
        self._transport.abort()
        if self._answer is not None:
            self._answer.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing() or self._answer is not None:
            return
        try:
            self._http.receive_data(data)
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    page = self._page(event)
                    self._answer = self._loop.create_task(self._send(page, event.method == b"HEAD"))
                    return
                if isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                    return
        except h11.RemoteProtocolError as error:
            page = Refused(error.error_status_hint, "This is no HTTP request.").page()
            self._answer = self._loop.create_task(self._send(page, False))

    def _page(self, request: h11.Request) -> Page:
        path, _, query = request.target.decode("latin-1").partition("?")
        route = self._server.routes.get(path)
        if request.method not in {b"GET", b"HEAD"}:
            return Refused(405, "Only GET is taken here.").page()
        if route is None:
            return Refused(404, f"There are {', '.join(self._server.routes)}.").page()
        self._server.requests[path] += 1
        try:
            return route(query)
        except Refused as refused:
            return refused.page()

    async def _send(self, page: Page, head_only: bool) -> None:
        """Send a page a slice at a time. The first is made before the status is told: until then it may
        change. A page that fails later is cut off, and seen by its reader to be incomplete."""
        try:
            pieces = iter(page.pieces)
            try:
                body, whole = await self._take_slice(pieces)
            except Refused as refused:
                page = refused.page()
                body, whole = b"".join(page.pieces), True
            self._begin(page, len(body) if whole else None)
            while not head_only:
                self._write(h11.Data(body))
                await self._writable.wait()
                self._timer.cancel()
                self._timer = self._loop.call_later(PATIENCE_SECONDS, self.abort)
                if whole:
                    break
                body, whole = await self._take_slice(pieces)
            self._write(h11.EndOfMessage())
            self._transport.close()
        except Exception as error:
            log.error("a page could not be finished: %s", type(error).__name__)
            self._transport.abort()

    async def _take_slice(self, pieces: Iterator[bytes]) -> tuple[bytes, bool]:
        """The next pieces of a page, and whether they are the last."""
        async with self._server.slice:
            taken = []
            size = 0
            end = time.perf_counter() + SLICE_SECONDS
            for piece in pieces:
                taken.append(piece)
                size += len(piece)
                if size >= SLICE_BYTES or time.perf_counter() >= end:
                    await asyncio.sleep(REST_SECONDS)
                    return b"".join(taken), False
            return b"".join(taken), True

    def _begin(self, page: Page, length: int | None) -> None:
        """The status line and headers; without a length the body goes out in chunks."""
        headers = [("content-type", page.content_type), ("connection", "close")]
        if length is not None:
            headers.append(("content-length", str(length)))
        reason = HTTPStatus(page.status).phrase.encode()
        self._write(h11.Response(status_code=page.status, reason=reason, headers=headers))

    def _write(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        if data := self._http.send(event):
            self._transport.write(data)
