"""Reloads of what INFO says and of the rules for TLS: clients of mq9fast and nats-server see the same."""

import contextlib
import select
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER, NatsServer, configuration
from tests.support.tls_wire import TlsWire
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire
from tests.wire.script import SERVERS

THROTTLED = b"-ERR 'Connection throttling is active. Please try again later.'\r\n"
# A setting of mq9fast and a line of the `tls` block of nats-server.
VERIFY = ("tls_verify = true", "verify: true")
TLS_1_3 = ('tls_min_version = "1.3"', 'min_version: "1.3"')
AES_128 = (
    'tls_ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"',
    'cipher_suites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]',
)
RATE = ("tls_handshake_rate = 2", "connection_rate_limit: 2")


class Configured:
    """A server with a configuration file that a test rewrites."""

    def __init__(self, server: str, directory: Path, files: Certificates, *rule: str) -> None:
        """With a rule, the server starts with TLS."""
        self._ours = server == "mq9fast"
        self._files = files
        self._config = directory / ("mq9.toml" if self._ours else "server.conf")
        ours, theirs = self._tls(*rule) if rule else ("", "")
        if self._ours:
            self._config.write_text(ours)
            self._running: Broker | NatsServer = Broker(directory / "data", "--config", str(self._config))
        else:
            more = directory / "more.conf"
            more.write_text(theirs)
            self._running = NatsServer(directory, {"config": str(more)})
        self.port = self._running.port
        self.end = self._running.end

    def _tls(self, ours: str = "", theirs: str = "") -> tuple[str, str]:
        """TLS with one rule, as settings of mq9fast and of nats-server."""
        cert, ca, key = (*map(self._files.cert_path, ("server", "ca")), self._files.key_path("server"))
        return (
            f'tls_cert = "{cert}"\ntls_key = "{key}"\ntls_ca = "{ca}"\n{ours}\n',
            f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", {theirs} }}\n',
        )

    def reload(self, ours: str = "", theirs: str = "") -> None:
        """Reload with settings of mq9fast or of nats-server."""
        line = "settings reloaded" if self._ours else "Reloaded server configuration"
        before = self._running.log.read_text().count(line)
        self._config.write_text(ours if self._ours else configuration({}) + theirs)
        self._running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self._running.log.read_text().count(line) > before, WAIT_SECONDS)

    def reload_tls(self, *rule: str) -> None:
        """Reload with TLS and at most one rule."""
        self.reload(*self._tls(*rule))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, files: Certificates
) -> Iterator[Configured]:
    if request.param == "nats-server" and NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    configured = Configured(request.param, tmp_path_factory.mktemp(request.param), files)
    yield configured
    configured.end()


def info(server: Configured) -> dict[str, Any]:
    """INFO as a new client gets it."""
    with Wire(server.port, None) as wire:
        return dict(wire.info)


def pass_info(wire: Wire) -> None:
    """Pass over what arrived until now. mq9fast sends connected clients an INFO when it changes."""
    wire.send("PING\r\n")
    while wire.line() != "PONG":
        pass


def is_accepted(port: int, context: ssl.SSLContext) -> bool:
    try:
        with TlsWire(port, context) as wire:
            wire.ping()
    except (ssl.SSLError, ConnectionError, EOFError):
        return False
    return True


def tls_1_2(files: Certificates, ciphers: str = "DEFAULT") -> ssl.SSLContext:
    context = files.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


def test_max_payload(server: Configured) -> None:
    with Wire(server.port) as wire:
        wire.ping()
        for limit in (5000, 1000):
            server.reload(f"max_payload = {limit}\n", f"max_payload: {limit}\n")
            assert info(server)["max_payload"] == limit
        pass_info(wire)
        wire.pub("a", "x" * 1001)
        assert wire.line() == "-ERR 'Maximum Payload Violation'"
        assert wire.closed()


def test_advertise(server: Configured) -> None:
    server.reload('advertise = "nats.example.org:4333"\n', 'client_advertise: "nats.example.org:4333"\n')
    found = info(server)
    assert (found["host"], found["port"]) == ("nats.example.org", 4333)
    server.reload()
    found = info(server)
    assert (found["host"], found["port"]) == ("127.0.0.1", server.port)


def test_tls_on_and_off(server: Configured, files: Certificates) -> None:
    server.reload()
    with Wire(server.port) as before:
        before.sub("a")
        before.ping()
        server.reload_tls()
        pass_info(before)
        with TlsWire(server.port, files.client_context()) as secure, Wire(server.port, None) as plain:
            assert secure.info["tls_required"] is plain.info["tls_required"] is True
            plain.send("CONNECT {}\r\nPING\r\n")
            assert plain.closed()
            secure.pub("a", "x")
            assert before.message().payload == b"x"
            server.reload()
            pass_info(before)
            assert "tls_required" not in info(server)
            secure.pub("a", "y")
            assert before.message().payload == b"y"
        with Wire(server.port) as after:
            after.ping()


def test_client_certificates(server: Configured, files: Certificates) -> None:
    without, with_one = files.client_context(), files.client_context("client")
    server.reload_tls()
    assert is_accepted(server.port, without)
    server.reload_tls(*VERIFY)
    assert not is_accepted(server.port, without)
    assert is_accepted(server.port, with_one)
    server.reload_tls()
    assert is_accepted(server.port, without)


def test_versions_and_ciphers(server: Configured, files: Certificates) -> None:
    server.reload_tls(*TLS_1_3)
    assert not is_accepted(server.port, tls_1_2(files))
    assert is_accepted(server.port, files.client_context())
    server.reload_tls(*AES_128)
    assert is_accepted(server.port, tls_1_2(files, "ECDHE-ECDSA-AES128-GCM-SHA256"))
    assert not is_accepted(server.port, tls_1_2(files, "ECDHE-ECDSA-AES256-GCM-SHA384"))


@pytest.mark.parametrize("name", SERVERS)
def test_handshakes_past_the_rate(name: str, tmp_path: Path, files: Certificates) -> None:
    """In an own server: nats-server does not change this by a reload."""
    if name == "nats-server" and NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    server = Configured(name, tmp_path, files, *RATE)
    try:
        with contextlib.ExitStack() as stack:
            address = ("127.0.0.1", server.port)
            clients = [stack.enter_context(socket.create_connection(address)) for _ in range(6)]
            # The beginning of a hello. nats-server refuses a client before INFO, mq9fast after it.
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    client.sendall(bytes.fromhex("160301"))
            answers = bytearray()

            def is_refused() -> bool:
                for ready in select.select(clients, [], [], 0.01)[0]:
                    with contextlib.suppress(ConnectionError):
                        answers.extend(ready.recv(65536))
                return THROTTLED in answers

            wait_until(is_refused, WAIT_SECONDS)
    finally:
        server.end()
