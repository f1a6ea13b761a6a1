"""Redis: the server, its protocol as bytes, and pipelined writes to a stream."""

import re
import shutil
import socket
from pathlib import Path

from bench.peers.exchange import Marks, Source, exchange, wait_in_kernel
from bench.peers.servers import Server, Setup

STREAM = b"bench"
ENTRY_ID = re.compile(rb"\r\n(\d+-\d+)\r\n")


class RedisServer(Server):
    def __init__(self, place: Path, fsync: str) -> None:
        self.fsync = fsync
        super().__init__(place)

    def command(self) -> list[str]:
        log = f"--save '' --appendonly yes --appendfsync {self.fsync} --auto-aof-rewrite-percentage 0"
        options = [each.strip("'") for each in log.split()]
        return [program() or "", "--port", str(self.port), "--bind", "127.0.0.1", *options]


def program() -> str | None:
    return shutil.which("redis-server")


def redis(fsync: str) -> Setup:
    settings = f"appendonly, appendfsync {fsync}, no rewrite"
    missing = "" if program() else "redis-server is not installed"
    return Setup(f"Redis, {fsync}", settings, lambda place: RedisServer(place, fsync), missing)


def command(*words: bytes | str | int) -> bytes:
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


class Resp:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wait_in_kernel(self.socket)

    def call(self, *words: bytes | str | int) -> bytes:
        """Send a command and return its reply, which must come in one piece."""
        self.socket.sendall(command(*words))
        reply = self.socket.recv(1 << 16)
        if reply.startswith(b"-"):
            raise RuntimeError(reply.decode())
        return reply

    def integer(self, *words: bytes | str | int) -> int:
        found = re.search(rb":(\d+)\r\n", self.call(*words))
        assert found
        return int(found[1])


def store(server: Server, count: int, body: bytes) -> None:
    """Store `count` entries. Redis chooses the ids; each reply has one dash, in the id."""
    connection = Resp(server.port)
    frame = command("XADD", STREAM, "*", "m", body)
    exchange([Source(connection.socket, [frame], count)], [Marks(connection.socket, b"-", count)])
