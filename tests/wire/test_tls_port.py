"""A client that speaks no TLS on a port that wants it: mq9fast and nats-server say and do the same."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.harness import Broker
from tests.wire.script import SERVERS
from tests.wire.test_wire import NATS_SERVER, NatsServer

HANDSHAKE_SECONDS = 1.0
Start = Callable[[str, str], int]
# What is said, and how long the server waits for more of it.
SAID = {
    "CONNECT": (b'CONNECT {"verbose":false}\r\nPING\r\n', 0.0),
    "PING": (b"PING\r\n", 0.0),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 0.0),
    "zeros": (b"\0" * 15, 0.0),
    "one byte": (b"C", HANDSHAKE_SECONDS),
    "half a hello": (bytes.fromhex("160301020001000100"), HANDSHAKE_SECONDS),
    "nothing": (b"", HANDSHAKE_SECONDS),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """The port of a server with TLS that begins as the second argument says."""
    files = Certificates(tmp_path_factory.mktemp("tls"))
    running: dict[tuple[str, str], Broker | NatsServer] = {}

    def launch(server: str, first: str, directory: Path) -> Broker | NatsServer:
        cert, key = files.cert("server"), files.key("server")
        if server == "mq9fast":
            flags = ("--tls-cert", cert, "--tls-key", key, "--tls-handshake-first", first)
            return Broker(directory / "data", *flags, "--auth-timeout", str(HANDSHAKE_SECONDS))
        files_of_it = f'cert_file: "{cert}", key_file: "{key}"'
        tls = f"{{{files_of_it}, timeout: {HANDSHAKE_SECONDS}, handshake_first: {first}}}"
        return NatsServer(directory, {"tls": tls})

    def port(server: str, first: str) -> int:
        if (server, first) not in running:
            running[server, first] = launch(server, first, tmp_path_factory.mktemp(server))
        return running[server, first].port

    yield port
    for server in running.values():
        server.end()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("at_once", [False, True], ids=["after INFO", "at once"])
@pytest.mark.parametrize("first", ["off", "on", "auto"])
@pytest.mark.parametrize("said", SAID)
def test_no_tls_on_a_tls_port(start: Start, server: str, said: str, first: str, at_once: bool) -> None:
    if server == "nats-server" and NATS_SERVER is None:
        pytest.skip("there is no nats-server")
    data, patience = SAID[said]
    told = first == "off" or (first == "auto" and not (at_once and data))
    with socket.create_connection(("127.0.0.1", start(server, first)), timeout=20) as client:
        if at_once or not told:
            client.sendall(data)
        if told:
            verb, _, fields = client.recv(65536).partition(b" ")
            assert verb == b"INFO"
            assert json.loads(fields)["tls_required"] is True
            if not at_once:
                client.sendall(data)
        began = time.monotonic()
        # Not a word more, and no reset: what was said was read.
        assert client.recv(65536) == b""
        assert patience * 0.8 <= time.monotonic() - began < patience + 2
