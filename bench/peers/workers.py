"""Members of a group that answer every message. Each has a connection; one thread serves all."""

import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence

from bench.peers.exchange import READ_BYTES, TIMEOUT_SECONDS, wait_in_kernel
from bench.peers.frames import Frames
from bench.peers.resp import ENTRY_ID, STREAM, Resp, command
from tests.support.wire_client import Wire

GROUP = b"workers"
# A frame with a large payload is received in parts: after one of them, more may be there without a wait.
MORE_READS = 4
# The reply subject of a message of 100 bytes. An answer deletes the message.
REPLY = re.compile(rb" (\$\S+) 100\r\n")


class Worker:
    """Reads, finds complete ids, and writes what `answer` returns for them."""

    found: re.Pattern[bytes]

    def __init__(self, connection: socket.socket, unread: bytes = b"") -> None:
        self.socket = connection
        self.rest = unread
        self.unsent = b""
        self.done = 0

    def answer(self, names: list[bytes]) -> bytes:
        raise NotImplementedError

    def read(self) -> None:
        data = self.rest + self.socket.recv(READ_BYTES)
        names = self.found.findall(data)
        # The bytes after the last complete name are searched again with the next read.
        self.rest = data[data.rfind(names[-1]) + len(names[-1]) :] if names else data
        self.done += len(names)
        self.unsent += self.answer(names)
        self.write()

    def write(self) -> None:
        try:
            sent = self.socket.send(self.unsent, socket.MSG_DONTWAIT) if self.unsent else 0
        except BlockingIOError:
            sent = 0
        self.unsent = self.unsent[sent:]


class NatsWorker(Worker):
    """A member of the queue group of a mailbox, or a client that pulls batches from a JetStream consumer."""

    found = REPLY

    def __init__(self, wire: Wire, pull: bytes = b"", batch: int = 0) -> None:
        super().__init__(wire.socket, bytes(wire.unread))
        self.pull, self.batch = pull, batch
        self.requested = 0

    def answer(self, names: list[bytes]) -> bytes:
        answers = b"PUB " + b" 0\r\n\r\nPUB ".join(names) + b" 0\r\n\r\n" if names else b""
        # Pull the next batch when half of the present one has arrived.
        while self.pull and self.done + self.batch // 2 >= self.requested:
            answers += self.pull
            self.requested += self.batch
        return answers


class HeaderWorker(NatsWorker):
    """A NatsWorker for messages with headers."""

    found = re.compile(rb" (\$\S+) \d+ \d+\r\n")


class SkippingWorker(NatsWorker):
    """A NatsWorker for messages of any size. It does not look into their payloads."""

    def __init__(self, wire: Wire, pull: bytes = b"", batch: int = 0) -> None:
        super().__init__(wire, pull, batch)
        self.frames = Frames(wire.socket, self.rest)
        wait_in_kernel(wire.socket)

    def read(self) -> None:
        names = self.frames.receive()
        for _ in range(MORE_READS):
            try:
                names += self.frames.receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
        self.done += len(names)
        self.unsent += self.answer(names)
        self.write()


class RedisWorker(Worker):
    """A consumer that acknowledges a batch and requests the next in one write."""

    found = ENTRY_ID

    def __init__(self, connection: Resp, number: int, batch: int) -> None:
        super().__init__(connection.socket)
        self.batch = batch
        self.ids: list[bytes] = []
        consumer = b"worker%d" % number
        self.request = command("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", batch, "STREAMS", STREAM, ">")

    def answer(self, names: list[bytes]) -> bytes:
        self.ids += names
        if len(self.ids) < self.batch:
            return b""
        ids, self.ids = self.ids, []
        return command("XACK", STREAM, GROUP, *ids) + self.request


def drain(workers: Sequence[Worker], count: int, is_empty: Callable[[], bool]) -> None:
    """Run until the workers have received `count` messages and no message is left without an answer."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.socket, selectors.EVENT_READ, worker)
        while sum(worker.done for worker in workers) < count or any(worker.unsent for worker in workers):
            ready = selector.select(TIMEOUT_SECONDS)
            if not ready:
                raise TimeoutError(f"{sum(worker.done for worker in workers)} of {count} messages arrived")
            for key, events in ready:
                worker = key.data
                worker.read() if events & selectors.EVENT_READ else worker.write()
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.unsent else 0)
                if wanted != key.events:
                    selector.modify(worker.socket, wanted, worker)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_empty():
        if time.monotonic() > deadline:
            raise TimeoutError("the server has messages left that no worker received")
