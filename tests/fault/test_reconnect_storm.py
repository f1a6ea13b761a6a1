"""Two thousand clients disconnect and reconnect at once, repeatedly: all are served, and nothing leaks."""

import contextlib
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.broker import Broker
from tests.support.machine import open_descriptors
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
CLIENTS = 2000
TASKS = 500
ROUNDS = 6
MEGABYTE = 1 << 20
MAX_GROWTH = 12 * MEGABYTE
# The store may have opened other log files or tables meanwhile.
STORE_FILES = 3
RESET = b"\1\0\0\0\0\0\0\0"
DELIVERY_REPLY = b" $mq9.AI.MAILBOX.DELETE."


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    with open_descriptors(CLIENTS + 300):
        yield


class Client:
    """Subscribes to a plain subject and its own mailbox, and is a member of a queue group."""

    def __init__(self, port: int, number: int) -> None:
        self.number = number
        self.received = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
        self.socket.sendall(
            b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
            b"SUB connect_all 1\r\n"
            + f"SUB {MAILBOX}MSG.own.n{number} 2\r\nSUB {MAILBOX}MSG.tasks workers 3\r\nPING\r\n".encode()
        )

    def read_until(self, mark: bytes) -> None:
        while mark not in self.received:
            data = self.socket.recv(65536)
            assert data, (self.number, self.received)
            self.received += data

    def drop(self) -> None:
        """Reset the connection, or close it normally."""
        if self.number % 2:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()


def connect_all(broker: Broker, sender: Wire) -> list[Client]:
    """Connect all clients, and wait until each has received its messages."""
    clients = [Client(broker.port, number) for number in range(CLIENTS)]
    for client in clients:
        client.read_until(b"PONG\r\n")
        assert client.received.startswith(b"INFO {")
        assert b"-ERR" not in client.received
    sender.pub("connect_all", "news")
    for client in clients:
        client.read_until(b"\r\nnews\r\n")
        client.read_until(f" $mq9.AI.MAILBOX.DELETE.own.n{client.number}.0 ".encode())
        assert client.received.count(f"MSG {MAILBOX}MSG.own.".encode()) == 1
    return clients


def delivered(clients: list[Client]) -> Counter[bytes]:
    """How often each task was delivered."""
    return Counter(
        line.split(b" ")[3]
        for client in clients
        for line in client.received.split(b"\r\n")
        # From the second delivery on there is a header, Mq9-Deliveries.
        if line.startswith((f"MSG {MAILBOX}MSG.tasks ".encode(), f"HMSG {MAILBOX}MSG.tasks ".encode()))
    )


def test_2000_clients_reconnect_repeatedly_without_loss_or_leaks(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--sync", "never", "--monitor-port", "0")
    with Wire(broker.port) as sender:
        for number in range(CLIENTS):
            assert sender.create(name=f"own.n{number}")["is_new"]
            sender.pub(f"{MAILBOX}MSG.own.n{number}", "mine")
        sender.create(name="tasks")
        for number in range(TASKS):
            sender.pub(f"{MAILBOX}MSG.tasks", f"{number}")
        assert sender.list("tasks", limit=1)["total"] == TASKS
        idle = broker.open_descriptors
        sizes, times = [], []
        for _ in range(ROUNDS):
            began = time.monotonic()
            clients = connect_all(broker, sender)
            times.append(round(time.monotonic() - began, 2))
            # Each task was delivered once in this round. None was lost with earlier connections.
            delivered_tasks: Counter[bytes] = Counter()
            deadline = time.monotonic() + WAIT_SECONDS
            while len(delivered_tasks := delivered(clients)) < TASKS and time.monotonic() < deadline:
                for client in clients:
                    client.socket.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        client.received += client.socket.recv(65536)
            assert (len(delivered_tasks), set(delivered_tasks.values())) == (TASKS, {1})
            for client in clients:
                client.drop()
            sizes.append(broker.rss_bytes)
        wait_until(lambda: broker.metric("mq9fast_connections") == 1)
        wait_until(lambda: broker.open_descriptors <= idle + STORE_FILES)
        assert broker.metric("mq9fast_subscriptions") == 0
        assert max(sizes[1:]) - sizes[0] < MAX_GROWTH, [size // MEGABYTE for size in sizes]
        assert sender.list("tasks", limit=1)["total"] == TASKS
        print(f"rounds in {times} s, memory in MB {[size // MEGABYTE for size in sizes]}")


def test_clients_that_close_before_they_are_read_leak_no_descriptors(
    start_broker: Callable[..., Broker],
) -> None:
    """The clients connect and close at once, before the broker reads from them."""
    broker = start_broker()
    with Wire(broker.port) as other:
        other.ping()
        idle = broker.open_descriptors
        for _ in range(3):
            for number in range(CLIENTS):
                with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS) as client:
                    if number % 2:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            other.ping()
        wait_until(lambda: broker.open_descriptors <= idle + STORE_FILES)
