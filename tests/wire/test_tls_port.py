"""A client that does not speak TLS on a port that requires it: mq9fast and nats-server answer the same."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.wire.script import SERVERS

Start = Callable[[str, str, float], int]
# The handshake timeout of a server: the short one if the test waits for it, the long one if it must not.
SHORT_SECONDS, LONG_SECONDS = 1.0, 600.0
FIRST = ("off", "on", "auto")
# What the client sends, and whether the server waits for more of it.
SENT = {
    "CONNECT": (b'CONNECT {"verbose":false}\r\nPING\r\n', False),
    "PING": (b"PING\r\n", False),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", False),
    "zeros": (b"\0" * 15, False),
    "one byte": (b"C", True),
    "half a hello": (bytes.fromhex("160301020001000100"), True),
    "nothing": (b"", True),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Returns the port of a server with TLS: start(server, handshake_first, timeout in seconds)."""
    files = Certificates(tmp_path_factory.mktemp("tls"))
    running: dict[tuple[str, str, float], Broker | NatsServer] = {}

    def launch(server: str, first: str, seconds: float, directory: Path) -> Broker | NatsServer:
        cert, key = files.cert_path("server"), files.key_path("server")
        if server == "mq9fast":
            flags = ("--tls-cert", cert, "--tls-key", key, "--tls-handshake-first", first)
            return Broker(directory / "data", *flags, "--auth-timeout", str(seconds))
        nats_files = f'cert_file: "{cert}", key_file: "{key}"'
        tls = f"{{{nats_files}, timeout: {seconds}, handshake_first: {first}}}"
        return NatsServer(directory, {"tls": tls})

    def port(*which: Any) -> int:
        if which not in running:
            running[which] = launch(*which, tmp_path_factory.mktemp(which[0]))
        return running[which].port

    yield port
    for server in running.values():
        server.end()


def exchange(port: int, data: bytes, first: str, *, at_once: bool) -> float:
    """Send the data, see what comes, and return after how many seconds the server closed the connection."""
    began = time.monotonic()
    gets_info = first == "off" or (first == "auto" and not (at_once and data))
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as client:
        if at_once or not gets_info:
            client.sendall(data)
        if gets_info:
            verb, _, fields = client.recv(65536).partition(b" ")
            assert verb == b"INFO"
            assert json.loads(fields)["tls_required"] is True
            if not at_once:
                client.sendall(data)
        # The server closes without another byte. There is no reset, because it read everything.
        assert client.recv(65536) == b""
    return time.monotonic() - began


@pytest.fixture(scope="module")
def waiting(start: Start) -> Iterator[Callable[..., Future[float]]]:
    """What becomes of clients for which a server waits. All of one server wait at the same time."""
    clients: dict[tuple[str, str, str, bool], Future[float]] = {}
    cases = [
        (sent, first, at_once)
        for sent in SENT
        if SENT[sent][1]
        for first in FIRST
        for at_once in (False, True)
    ]

    def client_of(server: str, *case: Any) -> Future[float]:
        if (server, *case) not in clients:
            for sent, first, at_once in cases:
                port = start(server, first, SHORT_SECONDS)
                client = pool.submit(exchange, port, SENT[sent][0], first, at_once=at_once)
                clients[server, sent, first, at_once] = client
        return clients[(server, *case)]

    with ThreadPoolExecutor(len(cases)) as pool:
        yield client_of


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("at_once", [False, True], ids=["after INFO", "at once"])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("sent", SENT)
def test_plain_bytes_on_a_tls_port(
    start: Start, waiting: Callable[..., Future[float]], server: str, sent: str, first: str, at_once: bool
) -> None:
    if server == "nats-server" and NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    data, waits = SENT[sent]
    if waits:
        assert waiting(server, sent, first, at_once).result() >= SHORT_SECONDS * 0.8
    else:
        exchange(start(server, first, LONG_SECONDS), data, first, at_once=at_once)
