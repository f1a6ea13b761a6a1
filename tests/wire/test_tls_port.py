"""A client that speaks no TLS on a port that wants it: mq9fast and nats-server say and do the same."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.wire.script import SERVERS

Start = Callable[[str, str, float], int]
# How long a server waits for a handshake: the short time is waited for, in the long one nothing waits.
SHORT_SECONDS, LONG_SECONDS = 1.0, 600.0
# What is said, and whether the server waits for more of it.
SAID = {
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
    """The port of a server with TLS that begins as the second argument says, and waits as the third does."""
    files = Certificates(tmp_path_factory.mktemp("tls"))
    running: dict[tuple[str, str, float], Broker | NatsServer] = {}

    def launch(server: str, first: str, seconds: float, directory: Path) -> Broker | NatsServer:
        cert, key = files.cert("server"), files.key("server")
        if server == "mq9fast":
            flags = ("--tls-cert", cert, "--tls-key", key, "--tls-handshake-first", first)
            return Broker(directory / "data", *flags, "--auth-timeout", str(seconds))
        files_of_it = f'cert_file: "{cert}", key_file: "{key}"'
        tls = f"{{{files_of_it}, timeout: {seconds}, handshake_first: {first}}}"
        return NatsServer(directory, {"tls": tls})

    def port(*which: Any) -> int:
        if which not in running:
            running[which] = launch(*which, tmp_path_factory.mktemp(which[0]))
        return running[which].port

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
    data, patient = SAID[said]
    port = start(server, first, SHORT_SECONDS if patient else LONG_SECONDS)
    began = time.monotonic()
    told = first == "off" or (first == "auto" and not (at_once and data))
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as client:
        if at_once or not told:
            client.sendall(data)
        if told:
            verb, _, fields = client.recv(65536).partition(b" ")
            assert verb == b"INFO"
            assert json.loads(fields)["tls_required"] is True
            if not at_once:
                client.sendall(data)
        # Not a word more, and no reset: what was said was read.
        assert client.recv(65536) == b""
    if patient:
        assert time.monotonic() - began >= SHORT_SECONDS * 0.8
