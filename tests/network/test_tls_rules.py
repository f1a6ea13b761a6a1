"""Rules for TLS: the oldest version, ciphers, pinned certificates, and how many handshakes may begin."""

import contextlib
import hashlib
import select
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.auth.certificate import public_key_info
from tests.support.broker import Broker, start_error
from tests.support.certificates import Certificates
from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.monitoring import monitor_port, read
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.tls_wire import TlsWire
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import WebWire

THROTTLED = "-ERR 'Connection throttling is active. Please try again later.'"


def flags(files: Certificates, *more: str) -> list[str]:
    paths = {"cert": files.cert_path("server"), "key": files.key_path("server"), "ca": files.cert_path("ca")}
    return [*(f"--tls-{name}={path}" for name, path in paths.items()), "--auth-timeout=600", *more]


def is_accepted(port: int, context: ssl.SSLContext) -> bool:
    try:
        with TlsWire(port, context) as wire:
            wire.ping()
    except (ssl.SSLError, ConnectionError, EOFError):
        return False
    return True


def digest(files: Certificates, name: str) -> str:
    der = ssl.PEM_cert_to_DER_cert(Path(files.cert_path(name)).read_text())
    return hashlib.sha256(public_key_info(der)).hexdigest()


def old_client(files: Certificates, ciphers: str = "") -> ssl.SSLContext:
    """A client that speaks TLS 1.2 only."""
    context = files.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def test_oldest_version(start_broker: StartBroker, tmp_path: Path, certificates: Certificates) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "", *flags(certificates))
    assert is_accepted(broker.port, old_client(certificates))
    broker.reload('tls_min_version = "1.3"\n')
    assert not is_accepted(broker.port, old_client(certificates))
    assert is_accepted(broker.port, certificates.client_context())


def test_ciphers(start_broker: StartBroker, certificates: Certificates) -> None:
    broker = start_broker(*flags(certificates, "--tls-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"))
    assert is_accepted(broker.port, old_client(certificates, "ECDHE-ECDSA-AES128-GCM-SHA256"))
    assert not is_accepted(broker.port, old_client(certificates, "ECDHE-ECDSA-AES256-GCM-SHA384"))


def test_wrong_rules(tmp_path: Path, certificates: Certificates) -> None:
    where = ("--data-dir", str(tmp_path / "data"))
    assert "tls_ciphers: OpenSSL knows none of 'none'" in start_error(
        *flags(certificates, "--tls-ciphers", "none"), *where
    )
    assert "is not a SHA-256 digest" in start_error(
        *flags(certificates, "--tls-pinned-certs", "ab", "--tls-verify"), *where
    )
    assert "tls_pinned_certs needs tls_verify" in start_error(
        *flags(certificates, "--tls-pinned-certs", "ab" * 32), *where
    )


def test_digest_of_a_key_is_that_of_openssl(certificates: Certificates) -> None:
    for name in ("client", "ca"):
        key = subprocess.run(
            ["openssl", "x509", "-in", certificates.cert_path(name), "-pubkey", "-noout"],
            capture_output=True,
            check=True,
        )
        der = subprocess.run(
            ["openssl", "pkey", "-pubin", "-outform", "DER"],
            input=key.stdout,
            capture_output=True,
            check=True,
        )
        assert digest(certificates, name) == hashlib.sha256(der.stdout).hexdigest()


def test_pinned_certificates(start_broker: StartBroker, tmp_path: Path, certificates: Certificates) -> None:
    certificates.sign("friend", "ca", "extendedKeyUsage=clientAuth")
    client, friend = (certificates.client_context(name) for name in ("client", "friend"))
    pin = f'tls_pinned_certs = "{"0" * 64}, {digest(certificates, "friend").upper()}"\n'
    more = flags(certificates, "--tls-verify", "--ws-port", "0", "--monitor-port", "0")
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "", *more)
    assert is_accepted(broker.port, client)
    broker.reload(pin)
    assert is_accepted(broker.port, friend)
    assert not is_accepted(broker.port, client)
    with WebWire(broker.broker.ws_port, tls=friend) as wire:
        wire.ping()
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        WebWire(broker.broker.ws_port, tls=client).ping()
    assert "its certificate is not in tls_pinned_certs" in broker.broker.log.read_text()
    page = read(monitor_port(broker.broker), "/connz?state=closed")
    assert "TLS Handshake Failure" in {it["reason"] for it in page["connections"]}


def test_pinned_certificates_of_nats_server_have_the_same_digests(
    tmp_path: Path, certificates: Certificates
) -> None:
    if NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    cert, key, ca = (
        certificates.cert_path("server"),
        certificates.key_path("server"),
        certificates.cert_path("ca"),
    )
    pins = f'pinned_certs: ["{digest(certificates, "client")}"]'
    tls = f'{{cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: true, {pins}}}'
    server = NatsServer(tmp_path, {"tls": tls})
    try:
        assert is_accepted(server.port, certificates.client_context("client"))
    finally:
        server.end()


@pytest.mark.parametrize("first", ["off", "on"])
def test_handshakes_per_second(
    start_broker: Callable[..., Broker], certificates: Certificates, first: str
) -> None:
    broker = start_broker(*flags(certificates, "--tls-handshake-rate", "1", "--tls-handshake-first", first))
    # Four clients begin a handshake at once, and send only a part of the hello.
    with contextlib.ExitStack() as stack:
        plain = [
            stack.enter_context(socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_SECONDS))
            for _ in range(4)
        ]
        for client in plain:
            if first == "off":
                assert client.recv(65536).startswith(b"INFO ")
        for client in plain:
            client.sendall(bytes.fromhex("160301"))
        ready, _, _ = select.select(plain, [], [], WAIT_SECONDS)
        answer = b""
        while data := ready[0].recv(65536):
            answer += data
        refused = [answer.decode().strip()]
    assert refused == [THROTTLED]
    wait_until(lambda: "tls_handshake_rate is reached" in broker.log.read_text())

    if first == "off":
        wait_until(lambda: is_accepted(broker.port, certificates.client_context()))
