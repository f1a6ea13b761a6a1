"""Sends encoded frames and counts what comes back, at as little cost as Python allows.

One thread sends and one receives. Both are in system calls, without the GIL, nearly all the time.
"""

import selectors
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.peers.batches import batches

READ_BYTES = 1 << 20
# One send fits into the cache of the processor.
CHUNK_BYTES = 256 << 10
TIMEOUT_SECONDS = 60
# Of a WebSocket frame from a server.
MAX_HEADER_BYTES = 10
# With this flag Linux drops the received bytes without copying them.
DISCARD = socket.MSG_TRUNC if sys.platform == "linux" else 0


class Source:
    """Sends `frames` in order, `times` over, as fast as the socket takes them."""

    def __init__(self, connection: socket.socket, frames: Sequence[bytes], times: int = 1) -> None:
        self.socket = connection
        self.batches = batches(frames, times, max(1, CHUNK_BYTES // len(frames[0])))
        self.next = self.sent = 0

    def send_all(self) -> None:
        for batch in self.batches:
            self.socket.sendall(batch)

    def send_some(self) -> bool:
        """Send as much of a batch as the socket takes. Return False when everything is sent."""
        batch = self.batches[self.next]
        self.sent += self.socket.send(memoryview(batch)[self.sent :], socket.MSG_DONTWAIT)
        if self.sent == len(batch):
            self.sent = 0
            self.next += 1
        return self.next < len(self.batches)


class Bytes:
    """Receives `size` bytes without reading them, for replies of a known size."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self.socket = connection
        self.left = size
        self.buffer = bytearray(READ_BYTES)

    def take(self) -> bool:
        """Receive once. Return False when all bytes have arrived."""
        self.left -= _receive_some(self.socket, self.buffer, DISCARD)
        return self.left > 0


class FramedBytes(Bytes):
    """Receives `size` bytes in WebSocket frames of any sizes, without reading them."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        super().__init__(connection, size)
        self.rest = 0  # of the frame that is being received
        self.header = b""  # the received part of an unfinished header

    def take(self) -> bool:
        size, at = _receive_some(self.socket, self.buffer), 0
        while at < size:
            if self.rest == 0 and not (at := self._header(at, size)):
                break
            count = min(self.rest, size - at)
            self.rest -= count
            self.left -= count
            at += count
        return self.left > 0

    def _header(self, at: int, size: int) -> int:
        """Read the header at `at` of the buffer. Return its end, 0 if it is not complete."""
        header = self.header + self.buffer[at : min(size, at + MAX_HEADER_BYTES - len(self.header))]
        length = header[1] & 0x7F if len(header) > 1 else 0
        end = 2 if length < 126 else 4 if length == 126 else 10
        if len(header) < end:
            self.header = header
            return 0
        self.rest = length if end == 2 else int.from_bytes(header[2:end], "big")
        end -= len(self.header)
        self.header = b""
        return at + end


class Marks:
    """Receives `count` replies. `mark` is a byte that occurs once in each reply and nowhere else."""

    def __init__(self, connection: socket.socket, mark: bytes, count: int) -> None:
        self.socket = connection
        self.mark = mark
        self.left = count
        self.buffer = bytearray(READ_BYTES)

    def take(self) -> bool:
        size = _receive_some(self.socket, self.buffer)
        # count() with bounds copies nothing.
        self.left -= self.buffer.count(self.mark, 0, size)
        return self.left > 0


class Window(Marks):
    """Sends too: at most `window` frames wait for a reply, and it sends a quarter of them at a time."""

    def __init__(
        self, connection: socket.socket, frames: Sequence[bytes], times: int, mark: bytes, window: int
    ) -> None:
        super().__init__(connection, mark, len(frames) * times)
        self.window = window
        self.batches = iter(batches(frames, times, window // 4))
        self.batch = next(self.batches, None)
        self.unsent = self.left

    def feed(self) -> None:
        while self.batch and self.left - self.unsent + self.batch.count <= self.window:
            self.socket.sendall(self.batch)
            self.unsent -= self.batch.count
            self.batch = next(self.batches, None)

    def take(self) -> bool:
        more = super().take()
        self.feed()
        return more


class Sink(Protocol):
    """Receives what `exchange` waits for."""

    socket: socket.socket

    def take(self) -> bool:
        """Receive once. Return False when everything has arrived."""


def wait_in_kernel(connection: socket.socket) -> None:
    """Set the timeout in the kernel: a timeout of Python would cost a poll() before each call."""
    connection.settimeout(None)
    timeout = struct.pack("ll", TIMEOUT_SECONDS, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)


def exchange(sources: Sequence[Source], sinks: Sequence[Sink]) -> None:
    """Send everything in a second thread, and return when all expected bytes have arrived."""
    for each in (*sources, *sinks):
        wait_in_kernel(each.socket)
    for sink in sinks:
        if isinstance(sink, Window):
            sink.feed()
    sender = threading.Thread(target=_send, args=(sources,))
    sender.start()
    _receive(sinks)
    sender.join()


def _send(sources: Sequence[Source]) -> None:
    if len(sources) == 1:
        sources[0].send_all()
    else:
        _in_turn([(each.socket, each.send_some) for each in sources], selectors.EVENT_WRITE)


def _receive(sinks: Sequence[Sink]) -> None:
    if len(sinks) == 1:
        while sinks[0].take():
            pass
    else:
        _in_turn([(each.socket, each.take) for each in sinks], selectors.EVENT_READ)


def _in_turn(parts: Sequence[tuple[socket.socket, Callable[[], bool]]], events: int) -> None:
    """Call the step of each ready connection, until every step has returned False."""
    with selectors.DefaultSelector() as selector:
        for connection, step in parts:
            selector.register(connection, events, step)
        while selector.get_map():
            ready = selector.select(TIMEOUT_SECONDS)
            if not ready:
                raise TimeoutError(f"{len(selector.get_map())} connections received nothing")
            for key, _ in ready:
                if not key.data():
                    selector.unregister(key.fileobj)


def _receive_some(connection: socket.socket, buffer: bytearray, flags: int = 0) -> int:
    try:
        size = connection.recv_into(buffer, READ_BYTES, flags)
    except BlockingIOError as error:
        raise TimeoutError(f"nothing received for {TIMEOUT_SECONDS} s while more was expected") from error
    if size == 0:
        raise EOFError("the connection was closed while more was expected")
    return size
