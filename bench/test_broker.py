"""Benchmarks of a broker in its own process. The client sends frames that were encoded before.

A payload ends in MARK, which occurs nowhere else: a receiver only counts this byte.
"""

import re
import selectors
import shutil
import threading
from collections.abc import Callable

import pytest

from bench.conftest import Measure
from tests.support.broker import Broker
from tests.support.in_memory import pub
from tests.support.wire_client import MAILBOX, Wire

MARK = b"~"
READ_BYTES = 1 << 20
SYNCS = pytest.mark.parametrize("sync", ["interval", "always"])
StartBroker = Callable[..., Broker]


def payload(size: int) -> bytes:
    return b"x" * (size - 1) + MARK


class Counter:
    """Reads a connection and counts the marks in it. A mark may be anywhere in a read."""

    def __init__(self, wire: Wire, mark: bytes = MARK) -> None:
        assert len(mark) == 1
        self.socket = wire.socket
        self.socket.settimeout(60)
        self.mark = mark
        self.buffer = bytearray(READ_BYTES)
        self.count = wire.unread.count(mark)

    def read_until(self, count: int) -> None:
        while self.count < count:
            size = self.socket.recv_into(self.buffer)
            if size == 0:
                raise EOFError
            self.count += self.buffer[:size].count(self.mark)
        self.count -= count


def send_and_count(sender: Wire, data: bytes, counter: Counter, count: int) -> None:
    """Send from a second thread, so that sending and receiving do not wait for each other."""
    thread = threading.Thread(target=sender.socket.sendall, args=(data,))
    thread.start()
    counter.read_until(count)
    thread.join()


def test_start_on_an_empty_store(measure: Measure, start_broker: StartBroker) -> None:
    """From the start of the process to the line that says where it listens, with the monitoring port."""
    broker = start_broker("--monitor-port", "0")

    def empty() -> None:
        broker.kill()
        shutil.rmtree(broker.data_dir)

    measure(1, broker.start, setup=empty, rounds=10)


# Plain subjects.


@pytest.mark.parametrize("size", [16, 1024])
def test_publish_1_to_1(measure: Measure, start_broker: StartBroker, size: int) -> None:
    broker = start_broker()
    count = 200_000 if size < 100 else 50_000
    data = pub(b"bench", payload(size)) * count
    with Wire(broker.port) as sender, Wire(broker.port) as receiver:
        receiver.sub("bench")
        receiver.ping()
        sender.socket.settimeout(60)
        counter = Counter(receiver)
        measure(count, lambda: send_and_count(sender, data, counter, count), rounds=7)


def test_publish_16_B_to_nobody(measure: Measure, start_broker: StartBroker) -> None:  # noqa: N802
    broker = start_broker()
    count = 500_000
    data = pub(b"bench", payload(16)) * count + b"PING\r\n"
    with Wire(broker.port) as sender:
        sender.socket.settimeout(60)
        counter = Counter(sender, b"G")
        measure(count, lambda: send_and_count(sender, data, counter, 1), rounds=7)


# Mailboxes.


@SYNCS
def test_send_100_B_acknowledged(measure: Measure, start_broker: StartBroker, sync: str) -> None:  # noqa: N802
    """Pipelined on one connection. Each acknowledgement ends in a brace, which is counted."""
    broker = start_broker("--sync", sync)
    count = 50_000
    data = pub(f"{MAILBOX}MSG.bench".encode(), payload(100), b"acks") * count
    with Wire(broker.port) as sender:
        sender.create(name="bench")
        sender.sub("acks", "acks")
        sender.ping()
        sender.socket.settimeout(60)
        counter = Counter(sender, b"}")
        measure(count, lambda: send_and_count(sender, data, counter, count), rounds=7)


def store_messages(broker: Broker, count: int) -> None:
    """Create a mailbox `bench` with `count` durable messages of 100 bytes."""
    with Wire(broker.port) as sender:
        sender.create(name="bench")
        data = pub(f"{MAILBOX}MSG.bench".encode(), payload(100), b"acks") * count
        sender.sub("acks", "acks")
        sender.socket.settimeout(60)
        send_and_count(sender, data, Counter(sender, b"}"), count)


@SYNCS
def test_send_100_B_one_at_a_time(measure: Measure, start_broker: StartBroker, sync: str) -> None:  # noqa: N802
    broker = start_broker("--sync", sync)
    frame = pub(f"{MAILBOX}MSG.bench".encode(), payload(100), b"acks")
    with Wire(broker.port) as sender:
        sender.create(name="bench")
        sender.sub("acks", "acks")
        sender.ping()
        counter = Counter(sender, b"}")

        def send() -> None:
            for _ in range(100):
                sender.socket.sendall(frame)
                counter.read_until(1)

        measure(100, send, rounds=10)


def test_replay_100_000_of_100_B_to_a_new_subscriber(  # noqa: N802
    measure: Measure, start_broker: StartBroker
) -> None:
    broker = start_broker("--sync", "interval")
    count = 100_000
    store_messages(broker, count)

    def replay() -> None:
        with Wire(broker.port) as reader:
            reader.subscribe("bench")
            Counter(reader).read_until(count)

    measure(count, replay, rounds=7)


DELIVERED = re.compile(rb"DELETE\.bench\.(\d+) ")


class Member:
    """A member of a queue group. It answers each message, which deletes the message."""

    def __init__(self, port: int, selector: selectors.BaseSelector, answers: list[bytes]) -> None:
        self.wire = Wire(port)
        self.wire.subscribe("bench", queue="workers")
        self.answers = answers
        self.rest = bytes(self.wire.unread)
        self.unsent = b""
        self.selector = selector
        self.wire.socket.setblocking(False)
        selector.register(self.wire.socket, selectors.EVENT_READ, self)

    def read(self) -> None:
        data = self.rest + self.wire.socket.recv(READ_BYTES)
        # An id is complete if a blank follows it. The rest is searched again with the next read.
        found = list(DELIVERED.finditer(data))
        self.rest = data[found[-1].end() :] if found else data
        self.unsent += b"".join([self.answers[int(each[1])] for each in found])
        self.write()

    def write(self) -> None:
        try:
            sent = self.wire.socket.send(self.unsent)
        except BlockingIOError:
            sent = 0
        self.unsent = self.unsent[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
        self.selector.modify(self.wire.socket, events, self)


@pytest.mark.parametrize("members", [1, 8])
def test_drain_10_000_of_100_B_through_a_queue_group(  # noqa: N802
    measure: Measure, start_broker: StartBroker, members: int
) -> None:
    """Each message is answered, which deletes it. The round ends when the mailbox is empty."""
    broker = start_broker("--sync", "interval")
    count, rounds = 10_000, 6
    answers = [pub(f"{MAILBOX}DELETE.bench.{msg_id}".encode()) for msg_id in range(count * (rounds + 1))]

    def drain() -> None:
        with Wire(broker.port) as watcher, selectors.DefaultSelector() as selector:
            group = [Member(broker.port, selector, answers) for _ in range(members)]
            while True:
                ready = selector.select(0.005)
                for key, events in ready:
                    if events & selectors.EVENT_READ:
                        key.data.read()
                    else:
                        key.data.write()
                if not ready and watcher.list("bench", limit=1)["total"] == 0:
                    break
            for member in group:
                member.wire.close()

    measure(count, drain, setup=lambda: store_messages(broker, count), rounds=rounds)
