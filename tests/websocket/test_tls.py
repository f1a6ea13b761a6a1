"""WebSocket with TLS, which starts with the first byte, and without it behind a proxy that does TLS."""

import contextlib
import re
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Broker, start_error
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until
from tests.support.websocket_client import WebWire, request
from tests.support.wire_client import Wire

Start = Callable[..., Broker]


@pytest.fixture
def start_wss(start_broker: Start, certificates: Certificates) -> Start:
    files = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    return lambda *flags, **more: start_broker(
        "--ws-port", "0", "--auth-timeout", "600", *files, *flags, **more
    )


def use(port: int, tls: ssl.SSLContext | None, name: str) -> dict[str, object]:
    """Send and read a message of more than one TLS record; returns INFO."""
    payload = bytes(range(256)) * 1000
    with WebWire(port, tls=tls) as wire:
        wire.create(name=name)
        assert "msg_id" in wire.msg(name, payload)
        wire.subscribe(name)
        assert wire.message(WAIT_SECONDS).payload == payload
        return wire.info


def test_messages_over_wss(start_wss: Start, certificates: Certificates) -> None:
    broker = start_wss()
    assert f"wss://127.0.0.1:{broker.ws_port}" in broker.log.read_text()
    info = use(broker.ws_port, certificates.client_context(), "box")
    assert (info["tls_required"], info.get("tls_verify"), info["port"]) == (True, None, broker.ws_port)
    with pytest.raises(ssl.SSLError):
        WebWire(broker.ws_port, tls=certificates.client_context(authority="other"))
    assert broker.stop() == 0


def test_info_over_wss_equals_that_of_nats_server(tmp_path: Path, certificates: Certificates) -> None:
    if NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    files = f'cert_file: "{certificates.cert_path("server")}", key_file: "{certificates.key_path("server")}"'
    server = NatsServer(tmp_path, {"websocket": f'{{ listen: "127.0.0.1:-1", tls {{ {files} }} }}'})
    try:
        found: list[str] = []

        def listens() -> bool:
            found[:] = re.findall(r"websocket clients on wss://.*:(\d+)\n", server.log.read_text())
            return bool(found)

        wait_until(listens, START_SECONDS)
        with WebWire(int(found[0]), tls=certificates.client_context()) as wire:
            assert wire.info["tls_required"] is True
            assert wire.info["port"] == int(found[0])
            assert not wire.info.get("tls_verify")
    finally:
        server.end()


def test_wss_requires_a_client_certificate_with_tls_verify(
    start_wss: Start, certificates: Certificates
) -> None:
    broker = start_wss("--tls-ca", certificates.cert_path("ca"), "--tls-verify")
    assert use(broker.ws_port, certificates.client_context("client"), "box")["tls_verify"] is True
    for context in (certificates.client_context(), certificates.client_context("stranger")):
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            WebWire(broker.ws_port, tls=context)


def test_no_ws_tls_is_for_a_proxy_that_does_tls(start_wss: Start, certificates: Certificates) -> None:
    broker = start_wss("--no-ws-tls")
    assert "tls_required" not in use(broker.ws_port, None, "box")
    with Wire(broker.port, None) as wire:
        assert wire.info["tls_required"] is True


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_peer_that_does_not_speak_tls_is_closed_without_a_reply(
    start_wss: Start, certificates: Certificates, tmp_path: Path, loop: str
) -> None:
    if loop == "asyncio":
        (tmp_path / "uvloop.py").write_text('raise ImportError("there is no uvloop")')
    broker = start_wss("--auth-timeout", "2", env={"PYTHONPATH": str(tmp_path)})
    address = ("127.0.0.1", broker.ws_port)
    junk = (b"PING\r\n", b"", b"GE", b"\x16\x03\x01\x00\x05hello", b"\x00" * 1000)
    for data in junk:
        with socket.create_connection(address, timeout=WAIT_SECONDS) as peer:
            peer.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionError):
                while more := peer.recv(65536):
                    received += more
            assert data == b"GE" or b"HTTP" not in received
            assert b"INFO" not in received
    # A peer that does not finish its upgrade after TLS is closed too.
    with (
        socket.create_connection(address, timeout=WAIT_SECONDS) as plain,
        certificates.client_context().wrap_socket(plain, server_hostname="localhost") as peer,
        contextlib.suppress(ssl.SSLError, ConnectionError),
    ):
        peer.sendall(b"GET / HTTP/1.1\r\n")
        assert peer.recv(65536) == b""
    use(broker.ws_port, certificates.client_context(), "box")
    assert broker.stop() == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_http_without_tls_gets_status_400(
    start_websocket: Callable[..., int], certificates: Certificates, method: str
) -> None:
    cert, key = certificates.cert_path("server"), certificates.key_path("server")
    port = start_websocket(
        ["--ws-tls-cert", cert, "--ws-tls-key", key], f'tls {{ cert_file: "{cert}", key_file: "{key}" }}'
    )
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as peer:
        peer.sendall(request(f"{method} / HTTP/1.1"))
        received = b""
        while more := peer.recv(65536):
            received += more
    assert received.startswith(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def test_the_port_has_tls_of_its_own_beside_a_plain_client_port(
    start_broker: Start, certificates: Certificates
) -> None:
    broker = start_broker(
        *("--ws-port", "0", "--ws-tls-cert", certificates.cert_path("server")),
        *("--ws-tls-key", certificates.key_path("server")),
    )
    assert f"wss://127.0.0.1:{broker.ws_port}" in broker.log.read_text()
    info = use(broker.ws_port, certificates.client_context(), "box")
    assert (info["tls_required"], info.get("tls_verify")) == (True, None)
    with Wire(broker.port) as plain:
        assert "tls_required" not in plain.info
        plain.ping()


def test_the_port_has_other_certificates_than_the_client_port(
    start_wss: Start, certificates: Certificates
) -> None:
    own = ("--ws-tls-cert", certificates.cert_path("client"), "--ws-tls-key", certificates.key_path("client"))
    verify = ("--ws-tls-ca", certificates.cert_path("other"), "--ws-tls-verify")
    broker = start_wss(*own, *verify)
    context = certificates.client_context("stranger")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    assert use(broker.ws_port, context, "box")["tls_verify"] is True
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        WebWire(broker.ws_port, tls=certificates.client_context("client"))
    with Wire(broker.port, None) as plain:
        assert plain.info["tls_required"] is True
        assert "tls_verify" not in plain.info


def test_a_reload_reads_the_certificate_of_the_port_again(
    start_wss: Start, certificates: Certificates, tmp_path: Path
) -> None:
    cert, key = tmp_path / "ws.pem", tmp_path / "ws.key"

    def install(name: str) -> None:
        cert.write_bytes(Path(certificates.cert_path(name)).read_bytes())
        key.write_bytes(Path(certificates.key_path(name)).read_bytes())

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", broker.ws_port), timeout=WAIT_SECONDS).strip()

    install("server")
    broker = start_wss("--ws-tls-cert", str(cert), "--ws-tls-key", str(key))
    assert shown() == cert.read_text().strip()
    install("client")
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: shown() == cert.read_text().strip())
    cert.write_text("none")
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload failed, settings unchanged" in broker.log.read_text())
    assert shown() == Path(certificates.cert_path("client")).read_text().strip()


def test_the_error_for_files_that_cannot_be_used_names_them(tmp_path: Path) -> None:
    missing = ("--ws-tls-cert", str(tmp_path / "no.pem"), "--ws-tls-key", str(tmp_path / "no.key"))
    error = start_error("--port", "0", "--ws-port", "0", *missing, "--data-dir", tmp_path / "data")
    assert "no.pem" in error
    assert "cannot be used" in error


def test_a_handshake_that_fails_ends_with_an_alert(start_wss: Start) -> None:
    broker = start_wss()
    with socket.create_connection(("127.0.0.1", broker.ws_port), timeout=WAIT_SECONDS) as peer:
        # A TLS record with an unknown handshake message.
        peer.sendall(b"\x16\x03\x01\x00\x05hello")
        received = b""
        while more := peer.recv(65536):
            received += more
    assert re.fullmatch(rb"\x15\x03.\x00\x02\x02.", received, re.DOTALL), received
