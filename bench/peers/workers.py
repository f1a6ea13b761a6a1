"""Members of a group that answer every message they are given: a connection each, one thread for all."""

import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence

from bench.peers.exchange import PATIENCE_SECONDS, READ_BYTES
from bench.peers.resp import ENTRY_ID, STREAM, Resp, command
from tests.support.wire_client import Wire

GROUP = b"workers"
# The reply subject of a message of 100 bytes: its answer discards it.
REPLY = re.compile(rb" (\$\S+) 100\r\n")


class Worker:
    """Reads what there is, looks for whole ids, and writes what `answer` makes of them."""

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
        # What is behind the last whole name is looked at again, with more.
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
    """A member of a mailbox's queue group; or one that pulls from a consumer of JetStream, batch by batch."""

    found = REPLY

    def __init__(self, wire: Wire, pull: bytes = b"", batch: int = 0) -> None:
        super().__init__(wire.socket, bytes(wire.unread))
        self.pull, self.batch = pull, batch
        self.asked = 0

    def answer(self, names: list[bytes]) -> bytes:
        answers = b"PUB " + b" 0\r\n\r\nPUB ".join(names) + b" 0\r\n\r\n" if names else b""
        # The next batch is asked for while half of one is still to come.
        while self.pull and self.done + self.batch // 2 >= self.asked:
            answers += self.pull
            self.asked += self.batch
        return answers


class RedisWorker(Worker):
    """A consumer that acknowledges a batch and asks for the next in one write."""

    found = ENTRY_ID

    def __init__(self, connection: Resp, number: int, batch: int) -> None:
        super().__init__(connection.socket)
        self.batch = batch
        self.ids: list[bytes] = []
        consumer = b"worker%d" % number
        self.ask = command("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", batch, "STREAMS", STREAM, ">")

    def answer(self, names: list[bytes]) -> bytes:
        self.ids += names
        if len(self.ids) < self.batch:
            return b""
        ids, self.ids = self.ids, []
        return command("XACK", STREAM, GROUP, *ids) + self.ask


def drain(workers: Sequence[Worker], count: int, is_empty: Callable[[], bool]) -> None:
    """Until the workers were given so many messages and nothing is left to be answered."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.socket, selectors.EVENT_READ, worker)
        while sum(worker.done for worker in workers) < count or any(worker.unsent for worker in workers):
            ready = selector.select(PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError(f"{sum(worker.done for worker in workers)} of {count} came")
            for key, events in ready:
                worker = key.data
                worker.read() if events & selectors.EVENT_READ else worker.write()
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.unsent else 0)
                if wanted != key.events:
                    selector.modify(worker.socket, wanted, worker)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_empty():
        if time.monotonic() > deadline:
            raise TimeoutError("something is left that no worker was given")
