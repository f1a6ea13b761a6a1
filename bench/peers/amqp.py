"""RabbitMQ: the server, and the part of AMQP 0-9-1 that publishing with confirms needs."""

import shutil
import socket
import struct
import subprocess
from pathlib import Path

from bench.peers.exchange import wait_in_kernel
from bench.peers.servers import START_SECONDS, Server, Setup, listens
from tests.support.ports import free_port
from tests.support.waiting import wait_until

METHOD, HEADER, BODY = 1, 2, 3
FRAME_END = b"\xce"
ACK_BYTES = 21
CHANNELS = 2047
DURABLE = 2
PERSISTENT = 2
HAS_DELIVERY_MODE = 1 << 12
# Debian's wrapper requires the user rabbitmq; this script does not.
SCRIPTS = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"


def program() -> Path | None:
    found = sorted(Path("/").glob(SCRIPTS.lstrip("/")))
    return found[-1] if found and shutil.which("epmd") else None


def start_mapper(port: int) -> "subprocess.Popen[bytes]":
    """Start the port mapper of Erlang, and wait until it listens. Raises AssertionError if it does not."""
    command = ["epmd", "-port", str(port), "-address", "127.0.0.1"]
    mapper = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: listens(port), START_SECONDS)
    return mapper


def node_environment(place: Path, port: int, mapper_port: int) -> dict[str, str]:
    """The environment of a node that listens on `port` and keeps everything in `place`."""
    return {
        "HOME": str(place),
        "ERL_EPMD_PORT": str(mapper_port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_NODENAME": node_name(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_MNESIA_BASE": str(place),
        "RABBITMQ_LOG_BASE": str(place),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq"),
    }


def node_name(port: int) -> str:
    return f"bench{port}@localhost"


class RabbitNode(Server):
    """One node, with the port mapper that listens on `mapper_port`."""

    def __init__(self, place: Path, mapper_port: int) -> None:
        self.mapper_port = mapper_port
        super().__init__(place)

    def command(self) -> list[str]:
        self.environment = node_environment(self.place, self.port, self.mapper_port)
        return [str(program())]


class RabbitServer(RabbitNode):
    """One node with a separate port mapper, so that no process that it starts outlives it."""

    def __init__(self, place: Path) -> None:
        super().__init__(place, free_port())

    def start(self) -> None:
        self.mapper = start_mapper(self.mapper_port)
        super().start()

    def end(self) -> None:
        super().end()
        self.mapper.kill()
        self.mapper.wait()


RABBIT = Setup(
    "RabbitMQ",
    "durable classic queue, persistent messages, publisher confirms",
    RabbitServer,
    "" if program() else "rabbitmq-server is not installed",
)


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + FRAME_END


def method(number: tuple[int, int], arguments: bytes, channel: int = 1) -> bytes:
    return frame(METHOD, struct.pack(">HH", *number) + arguments, channel)


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def publish(queue: bytes, body: bytes) -> bytes:
    """Basic.Publish to the default exchange, with its content."""
    content = struct.pack(">HHQHB", 60, 0, len(body), HAS_DELIVERY_MODE, PERSISTENT)
    arguments = struct.pack(">H", 0) + short(b"") + short(queue) + b"\0"
    return method((60, 40), arguments) + frame(HEADER, content) + frame(BODY, body)


class Amqp:
    """A connection with channel 1 open, confirms on, and a durable queue. `arguments`: packed, of that."""

    def __init__(self, port: int, queue: bytes, arguments: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        wait_in_kernel(self.socket)
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.expect(10, 10)
        credentials = b"\0guest\0guest"
        start = struct.pack(">I", 0) + short(b"PLAIN") + struct.pack(">I", len(credentials)) + credentials
        self.call((10, 11), start + short(b"en_US"), channel=0, answer=(10, 30))
        self.socket.sendall(method((10, 31), struct.pack(">HIH", CHANNELS, 131072, 0), 0))
        self.call((10, 40), short(b"/") + short(b"") + b"\0", channel=0, answer=(10, 41))
        self.call((20, 10), short(b""), answer=(20, 11))
        declare = struct.pack(">H", 0) + short(queue) + bytes([DURABLE])
        declare += struct.pack(">I", len(arguments)) + arguments
        self.call((50, 10), declare, answer=(50, 11))
        self.call((85, 10), b"\0", answer=(85, 11))

    def call(
        self, number: tuple[int, int], arguments: bytes, answer: tuple[int, int], channel: int = 1
    ) -> None:
        self.socket.sendall(method(number, arguments, channel))
        self.expect(*answer)

    def expect(self, *number: int) -> None:
        _, _, size = struct.unpack(">BHI", self._take(7))
        body = self._take(size + 1)
        if struct.unpack(">HH", body[:4]) != number:
            raise RuntimeError(f"expected {number}: {body!r}")

    def _take(self, size: int) -> bytes:
        return self.socket.recv(size, socket.MSG_WAITALL)


class Confirms:
    """Receives acks, each for one tag or for all tags up to one, until `count` messages are confirmed."""

    def __init__(self, connection: socket.socket, count: int) -> None:
        self.socket = connection
        self.count = count
        self.through = 0
        self.beyond: set[int] = set()
        self.rest = b""

    def take(self) -> bool:
        data = self.rest + self.socket.recv(1 << 20)
        whole = len(data) // ACK_BYTES * ACK_BYTES
        self.rest = data[whole:]
        for _, _, _, _, _, tag, multiple, _ in struct.iter_unpack(">BHIHHQBB", data[:whole]):
            if multiple:
                self.through = max(self.through, tag)
            else:
                self.beyond.add(tag)
        while self.through + 1 in self.beyond:
            self.through += 1
            self.beyond.discard(self.through)
        return self.through < self.count
