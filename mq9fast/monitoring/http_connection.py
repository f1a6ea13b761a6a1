"""One HTTP connection of the monitoring port: requests, and their responses one after the other.

`http.HttpServer` creates one for each connection. A page yields pieces. `_next_slice` joins pieces for up to
a millisecond into a slice. Between two slices the event loop runs, so that no page delays the broker's
clients, however long it is.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import h11

from mq9fast.monitoring.page import JSON, PROMETHEUS, HttpError, Page
from mq9fast.network.listen import peer_of
from mq9fast.text import printable

if TYPE_CHECKING:
    from mq9fast.monitoring.http import HttpServer

log = logging.getLogger("mq9fast.monitoring")

# The time that a client has to send its first request, and then to receive each part of a response.
TIMEOUT_SECONDS = 10.0
# A connection without a request is closed after this, which is longer than Prometheus's default interval.
KEEP_ALIVE_SECONDS = 75.0
# A slice of a page ends after this time or at this size. Then the event loop runs for at least the pause.
SLICE_SECONDS = 0.001
SLICE_BYTES = 65536
PAUSE_SECONDS = 0.001
HIGH_WATER_BYTES = 4 * SLICE_BYTES
MAX_LOGGED_PATH = 64


class HttpConnection(asyncio.Protocol):
    """One HTTP connection. h11 parses the requests and frames the responses."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER)
        self._loop = asyncio.get_running_loop()
        self._response: asyncio.Task[None] | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._path = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._server.mark_active(self)
        self._restart_timeout(TIMEOUT_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.pop(self, None)
        if self._timeout is not None:
            self._timeout.cancel()
        if self._response is not None:
            self._response.cancel()

    def abort(self) -> None:
        """Close it at once, in the middle of a response if there is one."""
        self._transport.abort()
        if self._response is not None:
            self._response.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._http.receive_data(data)
            if self._response is None:
                self._next_request()

    def _restart_timeout(self, seconds: float) -> None:
        """Abort the connection after this time, unless the timeout is restarted before."""
        if self._timeout is not None:
            self._timeout.cancel()
        self._timeout = self._loop.call_later(seconds, self.abort)

    def _next_request(self) -> None:
        """Respond to the next request, once its header is complete."""
        try:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                method, target = event.method.decode("latin-1"), event.target.decode("latin-1")
                self._path = target.partition("?")[0]
                self._server.mark_active(self)
                # No page reads a body, so a request that has one is the connection's last.
                keep_alive = isinstance(self._http.next_event(), h11.EndOfMessage)
                page = self._server.page(method, target)
                self._respond(page, head_only=method == "HEAD", keep_alive=keep_alive)
            elif isinstance(event, h11.ConnectionClosed):
                self._transport.close()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            sentence = f"{HTTPStatus(status).phrase}. This is the monitoring port, which serves HTTP/1.1."
            self._respond(HttpError(status, sentence).page(), head_only=False, keep_alive=False)

    def _respond(self, page: Page, *, head_only: bool, keep_alive: bool) -> None:
        """Start sending a page. Reading pauses until the page is sent."""
        self._transport.pause_reading()
        self._restart_timeout(TIMEOUT_SECONDS)
        self._response = self._loop.create_task(self._send(page, head_only, keep_alive))

    async def _send(self, page: Page, head_only: bool, keep_alive: bool) -> None:
        """Send a page, a slice at a time.

        The first slice is made before the status is sent, so that the response to an HttpError there has the
        error's status. Any other error, and every error in a later slice, aborts the connection, so that the
        client sees that the page is incomplete.
        """
        try:
            pieces = iter(page.pieces)
            try:
                body, is_last = await self._next_slice(pieces)
            except HttpError as error:
                page = error.page()
                body, is_last = b"".join(page.pieces), True
            if head_only:
                self._send_head(page, await self._length(pieces, body, is_last), keep_alive)
            else:
                self._send_head(page, len(body) if is_last else None, keep_alive)
                await self._send_body(pieces, body, is_last)
            self._write(h11.EndOfMessage())
            self._finish()
        except Exception as error:
            path = printable(self._path, MAX_LOGGED_PATH)
            host, port = peer_of(self._transport.get_extra_info("peername"))
            # The text of other errors may contain a private mailbox address.
            reason = error.sentence if isinstance(error, HttpError) else type(error).__name__
            log.error("the page %s for %s:%d could not be finished: %s", path, host, port, reason)
            self._transport.abort()

    async def _length(self, pieces: Iterator[bytes], body: bytes, is_last: bool) -> int:
        """The length of a page, of which HEAD sends nothing."""
        length = len(body)
        while not is_last:
            self._restart_timeout(TIMEOUT_SECONDS)
            body, is_last = await self._next_slice(pieces)
            length += len(body)
        return length

    async def _send_body(self, pieces: Iterator[bytes], body: bytes, is_last: bool) -> None:
        while True:
            if body:
                self._write(h11.Data(body))
            await self._writable.wait()
            self._restart_timeout(TIMEOUT_SECONDS)
            if is_last:
                return
            body, is_last = await self._next_slice(pieces)

    async def _next_slice(self, pieces: Iterator[bytes]) -> tuple[bytes, bool]:
        """The next pieces of a page, and whether they are the last."""
        async with self._server.slice_lock:
            collected = []
            size = 0
            end = time.perf_counter() + SLICE_SECONDS
            for piece in pieces:
                collected.append(piece)
                size += len(piece)
                if size >= SLICE_BYTES or time.perf_counter() >= end:
                    # Keep the lock during the pause. Otherwise another response would make its slice
                    # meanwhile, and many requests would slow the broker more than one.
                    await asyncio.sleep(PAUSE_SECONDS)
                    return b"".join(collected), False
            return b"".join(collected), True

    def _send_head(self, page: Page, length: int | None, keep_alive: bool) -> None:
        """Send the status line and the headers. Without a length the body is sent in chunks."""
        headers = [*page.headers]
        if page.content_type:
            headers.append(("content-type", page.content_type))
        if page.content_type in (JSON, PROMETHEUS):
            # As on nats-server, so that a page of another origin, such as the console, can show them.
            headers.append(("access-control-allow-origin", "*"))
        if length is not None and page.status != HTTPStatus.NO_CONTENT:
            headers.append(("content-length", str(length)))
        if not keep_alive:
            headers.append(("connection", "close"))
        reason = HTTPStatus(page.status).phrase.encode()
        self._write(h11.Response(status_code=page.status, reason=reason, headers=headers))

    def _write(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        if data := self._http.send(event):
            self._transport.write(data)

    def _finish(self) -> None:
        """Continue with the next request, or close if the response said so."""
        self._response = None
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._transport.close()
            return
        self._http.start_next_cycle()
        self._restart_timeout(KEEP_ALIVE_SECONDS)
        self._transport.resume_reading()
        self._next_request()
