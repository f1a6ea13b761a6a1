"""Sending frames encoded beforehand and counting what comes back, at as little cost as Python allows.

One thread sends and one receives, and both are in system calls, without the interpreter, nearly all the time.
"""

import selectors
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence

from bench.peers.batches import batches

READ_BYTES = 1 << 20
# What is sent at a time stays in the processor's cache.
CHUNK_BYTES = 256 << 10
PATIENCE_SECONDS = 60
# Linux drops what is received under this flag without copying it.
DISCARD = socket.MSG_TRUNC if sys.platform == "linux" else 0


class Source:
    """Sends `frames`, in order, `times` over, as fast as they are taken."""

    def __init__(self, connection: socket.socket, frames: Sequence[bytes], times: int = 1) -> None:
        self.socket = connection
        self.batches = batches(frames, times, max(1, CHUNK_BYTES // len(frames[0])))
        self.next = self.sent = 0

    def send_all(self) -> None:
        for batch in self.batches:
            self.socket.sendall(batch)

    def send_some(self) -> bool:
        """What the socket takes of a batch; False once all is sent."""
        batch = self.batches[self.next]
        self.sent += self.socket.send(memoryview(batch)[self.sent :], socket.MSG_DONTWAIT)
        if self.sent == len(batch):
            self.sent = 0
            self.next += 1
        return self.next < len(self.batches)


class Bytes:
    """Receives so many bytes and looks at none of them: for replies whose size is known exactly."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self.socket = connection
        self.left = size
        self.room = bytearray(READ_BYTES)

    def take(self) -> bool:
        """Receive once; False once all has come."""
        self.left -= _receive_some(self.socket, self.room, DISCARD)
        return self.left > 0


class Marks:
    """Receives until a byte that occurs once in every reply, and nowhere else, has come so often."""

    def __init__(self, connection: socket.socket, mark: bytes, count: int) -> None:
        self.socket = connection
        self.mark = mark
        self.left = count
        self.room = bytearray(READ_BYTES)

    def take(self) -> bool:
        size = _receive_some(self.socket, self.room)
        # With bounds, count copies nothing.
        self.left -= self.room.count(self.mark, 0, size)
        return self.left > 0


class Window(Marks):
    """Sends too: a quarter of `window` whenever that many fewer frames are without their reply."""

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


Sink = Bytes | Marks


def wait_in_kernel(connection: socket.socket) -> None:
    """A timeout of Python's own would cost a poll before each call."""
    connection.settimeout(None)
    patience = struct.pack("ll", PATIENCE_SECONDS, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)


def exchange(sources: Sequence[Source], sinks: Sequence[Sink]) -> None:
    """Send everything in a thread of its own, and return once everything expected has come."""
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
    """Whoever is ready takes a step, until none has one left."""
    with selectors.DefaultSelector() as selector:
        for connection, step in parts:
            selector.register(connection, events, step)
        while selector.get_map():
            ready = selector.select(PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError(f"{len(selector.get_map())} connections are silent")
            for key, _ in ready:
                if not key.data():
                    selector.unregister(key.fileobj)


def _receive_some(connection: socket.socket, room: bytearray, flags: int = 0) -> int:
    try:
        size = connection.recv_into(room, READ_BYTES, flags)
    except BlockingIOError as error:
        raise TimeoutError(f"silent for {PATIENCE_SECONDS} s while more was expected") from error
    if size == 0:
        raise EOFError("closed while more was expected")
    return size
