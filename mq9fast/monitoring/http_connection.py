"""One HTTP connection. Pages are sent piece by piece, so that no page holds up the broker."""

import asyncio
import logging
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import h11

from mq9fast.monitoring.page import Page, RefusedMessages

if TYPE_CHECKING:
    from mq9fast.monitoring.http import HttpServer

log = logging.getLogger("mq9fast.monitoring")

# A client that does not finish its first request, or does not read on, is cut off.
PATIENCE_SECONDS = 10.0
# A connection without a request is closed: longer than what Prometheus waits between two by default.
IDLE_SECONDS = 75.0
# What is made of pages before the rest of the broker runs, and for how long it then runs undisturbed.
SLICE_SECONDS = 0.001
SLICE_BYTES = 65536
REST_SECONDS = 0.001
HIGH_WATER_BYTES = 4 * SLICE_BYTES


class HttpConnection(asyncio.Protocol):
    """One HTTP connection: requests, and their answers one after the other."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._server.take(self)
        self._wait(PATIENCE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.pop(self, None)
        if self._timer is not None:
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
        if not self._transport.is_closing():
            self._http.receive_data(data)
            if self._answer is None:
                self._next_request()

    def _wait(self, seconds: float) -> None:
        """Cut the connection off if nothing happens for so long."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.abort)

    def _next_request(self) -> None:
        """Answer the next request, if all of it is there."""
        try:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                method, target = event.method.decode("latin-1"), event.target.decode("latin-1")
                self._server.take(self)
                # No page takes a body: a connection ends with a request that has one.
                whole = isinstance(self._http.next_event(), h11.EndOfMessage)
                self._begin(self._server.page(method, target), method == "HEAD", whole)
            elif isinstance(event, h11.ConnectionClosed):
                self._transport.close()
        except h11.RemoteProtocolError as error:
            self._begin(RefusedMessages(error.error_status_hint, "Bad request.").page(), False, False)

    def _begin(self, page: Page, head_only: bool, stays: bool) -> None:
        """Send a page; what comes meanwhile is read when it is sent."""
        self._transport.pause_reading()
        self._wait(PATIENCE_SECONDS)
        self._answer = self._loop.create_task(self._send(page, head_only, stays))

    async def _send(self, page: Page, head_only: bool, stays: bool) -> None:
        """Send a page a slice at a time. The first is made before the status is told: until then it may
        change. A page that fails later is cut off, and seen by its reader to be incomplete."""
        try:
            pieces = iter(page.pieces)
            try:
                body, whole = await self._take_slice(pieces)
            except RefusedMessages as refused:
                page = refused.page()
                body, whole = b"".join(page.pieces), True
            if head_only:
                self._send_head(page, await self._length(pieces, body, whole), stays)
            else:
                self._send_head(page, len(body) if whole else None, stays)
                await self._send_body(pieces, body, whole)
            self._write(h11.EndOfMessage())
            self._finish()
        except Exception as error:
            log.error("a page could not be finished: %s", type(error).__name__)
            self._transport.abort()

    async def _length(self, pieces: Iterator[bytes], body: bytes, whole: bool) -> int:
        """The length of a page of which nothing is sent."""
        length = len(body)
        while not whole:
            self._wait(PATIENCE_SECONDS)
            body, whole = await self._take_slice(pieces)
            length += len(body)
        return length

    async def _send_body(self, pieces: Iterator[bytes], body: bytes, whole: bool) -> None:
        while True:
            if body:
                self._write(h11.Data(body))
            await self._writable.wait()
            self._wait(PATIENCE_SECONDS)
            if whole:
                return
            body, whole = await self._take_slice(pieces)

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

    def _send_head(self, page: Page, length: int | None, stays: bool) -> None:
        """The status line and headers; without a length the body goes out in chunks."""
        headers = [*page.headers]
        if page.content_type:
            headers.append(("content-type", page.content_type))
        if length is not None and page.status != HTTPStatus.NO_CONTENT:
            headers.append(("content-length", str(length)))
        if not stays:
            headers.append(("connection", "close"))
        reason = HTTPStatus(page.status).phrase.encode()
        self._write(h11.Response(status_code=page.status, reason=reason, headers=headers))

    def _write(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        if data := self._http.send(event):
            self._transport.write(data)

    def _finish(self) -> None:
        """Go on with the next request, or close after an answer that was to be the last."""
        self._answer = None
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._transport.close()
            return
        self._http.start_next_cycle()
        self._wait(IDLE_SECONDS)
        self._transport.resume_reading()
        self._next_request()
