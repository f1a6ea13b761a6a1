"""allow_non_tls: clients with and without TLS on one port, the same on mq9fast and nats-server."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.tls_wire import TlsWire
from tests.support.waiting import WAIT_SECONDS
from tests.support.wire_client import Wire
from tests.wire.script import SERVERS

HANDSHAKE_SECONDS = 0.5
Start = Callable[[str, bool], int]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    files = Certificates(tmp_path_factory.mktemp("certificates"))
    files.sign("agent", "ca", "subjectAltName=email:agent@example.org")
    return files


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, files: Certificates) -> Iterator[Start]:
    """Returns the port of a server with allow_non_tls, with or without users by certificate."""
    running: dict[tuple[str, bool], Broker | NatsServer] = {}
    paths = [files.cert_path("server"), files.key_path("server"), files.cert_path("ca")]

    def launch(server: str, maps: bool, directory: Path) -> Broker | NatsServer:
        config = directory / "users.conf"
        if server == "mq9fast":
            flags = [f"--tls-{name}={path}" for name, path in zip(("cert", "key", "ca"), paths, strict=True)]
            flags += ["--allow-non-tls", "--auth-timeout", str(HANDSHAKE_SECONDS)]
            if maps:
                config.write_text('[[users]]\nuser = "agent@example.org"\n')
                flags += ["--tls-verify-and-map", "--config", str(config)]
            return Broker(directory / "data", *flags)
        files = ", ".join(
            f'{name}_file: "{path}"' for name, path in zip(("cert", "key", "ca"), paths, strict=True)
        )
        config.write_text('authorization { users: [{user: "agent@example.org"}] }' if maps else "")
        tls = f"{{{files}, timeout: {HANDSHAKE_SECONDS}, verify_and_map: {json.dumps(maps)}}}"
        return NatsServer(directory, {"tls": tls, "allow_non_tls": "true", "config": str(config)})

    def port(server: str, maps: bool) -> int:
        if server == "nats-server" and NATS_SERVER is None:
            pytest.skip("nats-server is not installed")
        if (server, maps) not in running:
            running[server, maps] = launch(server, maps, tmp_path_factory.mktemp(server))
        return running[server, maps].port

    yield port
    for server in running.values():
        server.end()


@pytest.mark.parametrize("server", SERVERS)
def test_clients_with_and_without_tls(start: Start, files: Certificates, server: str) -> None:
    port = start(server, False)
    with Wire(port) as plain, TlsWire(port, files.client_context()) as encrypted:
        for wire in (plain, encrypted):
            assert (wire.info.get("tls_required", False), wire.info["tls_available"]) == (False, True)
        plain.sub("a")
        plain.ping()
        encrypted.pub("a", "x")
        assert plain.message().payload == b"x"


@pytest.mark.parametrize("server", SERVERS)
def test_client_that_is_silent_past_the_handshake_timeout(start: Start, server: str) -> None:
    with Wire(start(server, False), None) as wire:
        time.sleep(2 * HANDSHAKE_SECONDS)
        wire.send('CONNECT {"verbose":false}\r\n')
        wire.ping()


@pytest.mark.parametrize("server", SERVERS)
def test_client_without_tls_has_no_certificate_to_sign_in_with(
    start: Start, files: Certificates, server: str
) -> None:
    port = start(server, True)
    with TlsWire(port, files.client_context("agent")) as wire:
        wire.ping()
    with Wire(port, {"user": "agent@example.org"}) as wire:
        assert wire.closed()
        assert wire.unread == b"-ERR 'Authorization Violation'\r\n"


@pytest.mark.parametrize("server", SERVERS)
def test_client_that_leaves_after_info(start: Start, server: str) -> None:
    port = start(server, False)
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as client:
        assert client.recv(65536).startswith(b"INFO ")
    with Wire(port) as wire:
        wire.ping()
