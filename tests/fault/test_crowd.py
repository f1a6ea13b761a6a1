"""Many clients do something at once: the broker still answers another client's PING after little work.

The tests measure the processor time of the event loop's thread between a PING and its PONG. The target is
20 ms; the limit of the tests is higher, for slower machines.
"""

import random
import select
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.machine import open_descriptors
from tests.support.mailbox import publish_many
from tests.support.waiting import WAIT_SECONDS
from tests.support.websocket_client import BINARY, WebWire, frame
from tests.support.wire_client import MAILBOX, Wire

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
READERS = 1000
BACKLOG_MESSAGES = 1000
DELETIONS = 3000
MAX_SECONDS = 0.05
CONNECT = b'CONNECT {"verbose":false}\r\n'


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    with open_descriptors(READERS + 300):
        yield


class Crowd:
    """Many clients, which one thread reads."""

    def __init__(self, port: int, count: int) -> None:
        self.sockets = [socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) for _ in range(count)]
        self.bytes = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def send(self, data: bytes) -> None:
        for each in self.sockets:
            each.sendall(data)

    def _read(self) -> None:
        by_descriptor = {each.fileno(): each for each in self.sockets}
        with select.epoll() as ready:
            for descriptor in by_descriptor:
                ready.register(descriptor, select.EPOLLIN)
            while not self._stopped:
                for descriptor, _ in ready.poll(0.05):
                    self.bytes += len(by_descriptor[descriptor].recv(1 << 18))

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopped = True
        self._thread.join()
        for each in self.sockets:
            each.close()


def third_longest(broker: Broker, bystander: Wire, until: Callable[[], bool]) -> float:
    """The third longest processor time of a PING until `until()` is true, for at most WAIT_SECONDS.

    The machine itself may have delayed one or two.
    """
    times = []
    end = time.monotonic() + WAIT_SECONDS
    while len(times) < 20 or (not until() and time.monotonic() < end):
        began = broker.loop_seconds
        bystander.ping()
        times.append(broker.loop_seconds - began)
        time.sleep(0.002)
    times.sort()
    print(f"{len(times)} pings, longest {[round(1000 * seconds, 1) for seconds in times[-3:]]} ms")
    return times[-3]


def test_ping_during_a_replay_to_1000_subscribers_and_deletions(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as worker, Wire(broker.port) as bystander:
        worker.create(name="backlog")
        publish_many(worker, "backlog", BACKLOG_MESSAGES, b"x" * 1000)
        worker.create(name="tasks")
        publish_many(worker, "tasks", 10 * DELETIONS, b"x" * 100)
        worker.list("tasks", limit=1)
        ids = random.Random(1).sample(range(10 * DELETIONS), DELETIONS)
        deletions = b"".join(f"PUB {MAILBOX}DELETE.tasks.{number} 0\r\n\r\n".encode() for number in ids)
        with Crowd(broker.port, READERS) as crowd:
            crowd.send(CONNECT + f"SUB {MAILBOX}MSG.backlog 1\r\n".encode())
            worker.send(deletions)
            total_bytes = READERS * BACKLOG_MESSAGES * 1000
            assert third_longest(broker, bystander, lambda: crowd.bytes > total_bytes) < MAX_SECONDS
            assert crowd.bytes > total_bytes
        assert worker.list("tasks", limit=1)["total"] == 9 * DELETIONS


def test_ping_during_live_delivery_to_1000_subscribers(start_broker: Callable[..., Broker]) -> None:
    """Each read of the sender makes megabytes of deliveries."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as sender, Wire(broker.port) as bystander:
        sender.create(name="news")
        with Crowd(broker.port, READERS) as crowd:
            crowd.send(CONNECT + f"SUB {MAILBOX}MSG.news 1\r\n".encode())
            publish_many(sender, "news", 2000, b"x" * 400)
            total_bytes = READERS * 2000 * 400
            assert third_longest(broker, bystander, lambda: crowd.bytes > total_bytes) < MAX_SECONDS
            assert crowd.bytes > total_bytes


def test_ping_while_300_clients_send_without_pause(start_broker: Callable[..., Broker]) -> None:
    """Each client fills every read, and each message goes to several subscribers."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as bystander, Crowd(broker.port, 10) as readers, Crowd(broker.port, 300) as crowd:
        readers.send(CONNECT + b"SUB flood 1\r\n")
        frames = b"PUB flood 16\r\n0123456789abcdef\r\n" * 4000
        sending = threading.Thread(target=crowd.send, args=(CONNECT + frames,))
        sending.start()
        total_bytes = 10 * 300 * 4000 * 16
        assert third_longest(broker, bystander, lambda: readers.bytes > total_bytes) < MAX_SECONDS
        sending.join()
        assert readers.bytes > total_bytes


def test_ping_during_a_read_with_thousands_of_commands(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as busy, Wire(broker.port) as bystander:
        for number in range(20):
            busy.create(name=f"box.{number:02}")
        lists = b"".join(
            f"PUB {MAILBOX}LIST.box.{number % 20:02} 0\r\n\r\n".encode() for number in range(3000)
        )
        creates = f"PUB {MAILBOX}CREATE 2\r\n{{}}\r\n".encode() * 3000
        for commands in (creates, lists, b'CONNECT {"verbose":false}\r\n' * 3000):
            busy.send(commands + b"PING\r\n")
            assert third_longest(broker, bystander, has_pong(busy)) < MAX_SECONDS
            assert busy.unread.endswith(b"PONG\r\n")
            busy.unread.clear()


def has_pong(busy: Wire) -> Callable[[], bool]:
    """A function that returns whether the client has received the final PONG."""

    def done() -> bool:
        if select.select([busy.socket], [], [], 0)[0]:
            busy.receive(WAIT_SECONDS)
        return busy.unread.endswith(b"PONG\r\n")

    return done


def test_connect_costs_the_same_with_many_subscriptions(start_broker: Callable[..., Broker]) -> None:
    """A repeated CONNECT does not check every subscription again."""
    broker = start_broker()
    connects = CONNECT * 3000
    with Wire(broker.port) as plain, Wire(broker.port) as subscriber:
        subscriber.send(b"".join(b"SUB s.%d %d\r\n" % (number, number) for number in range(20_000)))
        subscriber.ping()
        used = []
        for wire in (plain, subscriber):
            began = broker.loop_seconds
            wire.send(connects)
            wire.ping()
            used.append(broker.loop_seconds - began)
        assert used[1] < 5 * used[0] + 0.1, used


def test_ping_while_10000_mailboxes_expire(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--sync", "never", "--monitor-port", "0")
    with Wire(broker.port) as wire, Wire(broker.port) as bystander:
        for _ in range(10):
            wire.send(f'PUB {MAILBOX}CREATE 9\r\n{{"ttl":2}}\r\n'.encode() * 1000)
            wire.ping()

        def gone() -> bool:
            return broker.metric("mq9fast_mailboxes") == 0

        assert third_longest(broker, bystander, gone) < MAX_SECONDS
        assert gone()


def test_ping_during_pages_of_many_small_messages(start_broker: Callable[..., Broker]) -> None:
    """The size of a page is bounded even if max_payload is large."""
    broker = start_broker("--sync", "never", "--max-payload", str(64 << 20))
    with Wire(broker.port) as wire, Wire(broker.port) as bystander:
        wire.create(name="box")
        publish_many(wire, "box", 20_000, b"x")
        wire.sub("pages", "9")
        wire.send(f"PUB {MAILBOX}LIST.box pages 0\r\n\r\n".encode() * 20)
        assert third_longest(broker, bystander, lambda: True) < MAX_SECONDS
        pages = [message.json for message in wire.messages(20)]
        assert all(len(page["messages"]) < 5000 and "next" in page for page in pages)


def test_stopped_readers_of_large_messages_use_bounded_memory(start_broker: Callable[..., Broker]) -> None:
    """The broker holds at most one message per reader beyond the transport's buffer (docs/operations.md)."""
    size, count, readers = 16 << 20, 4, 10
    broker = start_broker("--sync", "never", "--max-payload", str(size), "--max-pending", str(4 * size))
    with Wire(broker.port) as sender:
        sender.create(name="box")
        for _ in range(count):
            sender.msg("box", bytes(size))
        before = broker.rss_bytes
        deaf = [Wire(broker.port, receive_bytes=65536) for _ in range(readers)]
        for wire in deaf:
            wire.sub(f"{MAILBOX}MSG.box")
        highest = 0
        for _ in range(100):
            sender.ping()
            highest = max(highest, broker.rss_bytes)
            time.sleep(0.02)
        for wire in deaf:
            wire.close()
    assert highest - before < (readers + 4) * (size + (1 << 20)), (highest - before) >> 20


def test_pages_of_messages_too_large_for_a_page_are_cheap(start_broker: Callable[..., Broker]) -> None:
    """Pages leave their payloads out. The broker must not read many of them for one page, nor encode payloads
    that it leaves out."""
    broker = start_broker("--sync", "never")
    payloads = (b"\0" * 900_000, b"\xff" * 900_000, b"x" * 1_048_576)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        for number in range(60):
            wire.msg("box", payloads[number % 3])
        began = broker.loop_seconds
        page = wire.list("box")
        used = broker.loop_seconds - began
        assert len(page["messages"]) == 1
        assert page["total"] == 60
        found, pages = 0, 0
        cursor: dict[str, Any] | None = {}
        began = broker.loop_seconds
        while cursor is not None:
            page = wire.list("box", **cursor)
            found += len([each for each in page["messages"] if each["payload_omitted"]])
            pages += 1
            cursor = {"cursor": page["next"]} if "next" in page else None
        assert found == pages == 60
        print(f"the first page {used:.4f} s, all {broker.loop_seconds - began:.4f} s")
        assert used < MAX_SECONDS
        assert (broker.loop_seconds - began) / pages < MAX_SECONDS / 5


class TlsWire(Wire):
    """A client that connects with TLS."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(port)

    def open(self, port: int, receive_bytes: int) -> ssl.SSLSocket:
        raw = super().open(port, receive_bytes)
        raw.recv(4096)
        return self.context.wrap_socket(raw, server_hostname="localhost")

    def _begin(self, connect: Any) -> None:
        self.send(CONNECT)


def test_ping_during_300_tls_handshakes(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    made = tmp_path / "certificates"
    made.mkdir()
    certificates = Certificates(made)
    broker = start_broker(
        "--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server")
    )
    context = certificates.client_context()
    crowd = []
    for _ in range(300):
        peer = socket.create_connection(("127.0.0.1", broker.port), WAIT_SECONDS)
        peer.recv(4096)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
        crowd.append((peer, outgoing.read()))
    with TlsWire(broker.port, context) as bystander:
        bystander.ping()
        began = broker.loop_seconds
        for peer, hello in crowd:
            peer.sendall(hello)
        longest = 0.0
        answered = 0
        while answered < len(crowd):
            before = broker.loop_seconds
            bystander.ping()
            longest = max(longest, broker.loop_seconds - before)
            answered = len(select.select([peer for peer, _ in crowd], [], [], 0)[0])
        used = broker.loop_seconds - began
    for peer, _ in crowd:
        peer.close()
    print(f"all took {used:.3f} s, the longest PING {longest:.3f} s")
    assert longest < max(MAX_SECONDS, used / 4)


def test_ping_during_large_reads_of_600_websockets(start_broker: Callable[..., Broker]) -> None:
    """The limit of bytes that a turn handles applies to WebSocket frames as well."""
    broker = start_broker("--sync", "never", "--ws-port", "0", "--ws-host", "127.0.0.1")
    messages = frame(BINARY, b"PUB flood 16\r\n0123456789abcdef\r\n" * 2000)
    crowd = [WebWire(broker.ws_port) for _ in range(600)]
    with Wire(broker.port) as bystander:
        for wire in (*crowd, bystander):
            wire.ping()
        broker.process.send_signal(signal.SIGSTOP)
        for wire in crowd:
            wire.socket.raw.sendall(messages)
        began = broker.loop_seconds
        broker.process.send_signal(signal.SIGCONT)
        bystander.ping()
        used = broker.loop_seconds - began
        longest = third_longest(broker, bystander, lambda: True)
    for wire in crowd:
        wire.ping()
        wire.close()
    print(f"the first PING {used:.3f} s")
    assert max(used, longest) < MAX_SECONDS
