"""A reload of TLS: of the WebSocket port, of ciphers and allow_non_tls, and of files that cannot be used."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.tls_wire import TlsWire
from tests.support.websocket_client import WebWire
from tests.support.wire_client import Wire

FAILED = "reload failed, settings unchanged: "


def tls(files: Certificates, prefix: str = "tls", name: str = "server", more: str = "") -> str:
    """The settings for TLS of one port, `prefix` "ws_tls" for the WebSocket port's own."""
    lines = {"cert": files.cert_path(name), "key": files.key_path(name), "ca": files.cert_path("ca")}
    return "".join(f'{prefix}_{key} = "{path}"\n' for key, path in lines.items()) + more


def next_info(wire: Wire) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(wire.line().removeprefix("INFO "))
    return info


def shown(port: int, files: Certificates) -> bytes:
    """The certificate that a port shows, which does TLS first."""
    context = files.client_context()
    context.check_hostname = False
    with WebWire(port, tls=context) as wire:
        raw = wire.socket.raw
        assert isinstance(raw, ssl.SSLSocket)
        return raw.getpeercert(binary_form=True) or b""


def test_tls_of_the_websocket_port_on_and_off(
    start_broker: StartBroker, tmp_path: Path, certificates: Certificates
) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "", "--ws-port", "0")
    port, context = broker.broker.ws_port, certificates.client_context()
    with WebWire(port) as before:
        before.ping()
        for own in (tls(certificates, "ws_tls"), tls(certificates)):
            broker.reload(own)
            assert next_info(before)["tls_required"] is True
            with WebWire(port, tls=context) as secure:
                assert secure.info["tls_required"] is True
                before.pub("a", "x")
                secure.ping()
                with pytest.raises(AssertionError, match=r"HTTP/1\.0 400"):
                    WebWire(port)
                broker.reload("")
                for wire in (before, secure):
                    assert "tls_required" not in next_info(wire)
                with WebWire(port) as plain:
                    assert "tls_required" not in plain.info
                    plain.ping()
                secure.ping()
        broker.reload(tls(certificates, more="ws_tls = false\n"))
        with WebWire(port) as plain:
            plain.ping()
        before.ping()
    assert broker.broker.stop() == 0


def test_client_certificates_of_the_websocket_port(
    start_broker: StartBroker, tmp_path: Path, certificates: Certificates
) -> None:
    own = tls(certificates, "ws_tls")
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", own, "--ws-port", "0")
    port = broker.broker.ws_port
    with WebWire(port, tls=certificates.client_context()) as wire:
        wire.ping()
    users = '[[users]]\nuser = "CN=client"\n[[users]]\nuser = "anna"\npassword = "p"\n'
    broker.reload(own + "ws_tls_verify_and_map = true\n" + users)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        WebWire(port, tls=certificates.client_context())
    with WebWire(port, tls=certificates.client_context("client")) as wire:
        assert wire.info["tls_verify"] is True
        wire.create(name="box")
        wire.msg("box")
        assert wire.list("box")["messages"][0]["from"] == "CN=client"
    # The client port has no certificates: its users need passwords.
    with Wire(broker.port, {"user": "anna", "pass": "p"}) as wire:
        wire.ping()
    with Wire(broker.port, {"user": "CN=client"}) as wire:
        assert wire.closed()


def test_ciphers_and_allow_non_tls(
    start_broker: StartBroker, tmp_path: Path, certificates: Certificates
) -> None:
    rules = 'tls_min_version = "1.2"\ntls_ciphers = "{}"\n'
    first, second = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
    context = certificates.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    broker = ConfiguredBroker(
        start_broker, tmp_path / "mq9.toml", tls(certificates, more=rules.format(first))
    )
    for cipher in (first, second):
        broker.reload(tls(certificates, more=rules.format(cipher) + "allow_non_tls = true\n"))
        with TlsWire(broker.port, context) as wire, Wire(broker.port) as plain:
            assert isinstance(wire.socket, ssl.SSLSocket)
            assert (wire.socket.cipher() or ("",))[0] == cipher
            assert plain.info["tls_available"] is True
            plain.ping()
        broker.reload(tls(certificates, more=rules.format(cipher)))
        with Wire(broker.port) as plain:
            assert plain.info["tls_required"] is True
            assert plain.closed()
    broker.reload(tls(certificates, more='tls_ciphers = "none"\n'), f"{FAILED}tls_ciphers: OpenSSL")


@pytest.mark.parametrize("failing", ["tls", "ws_tls"])
def test_a_file_that_cannot_be_used_changes_no_port(
    start_broker: StartBroker, tmp_path: Path, certificates: Certificates, failing: str
) -> None:
    """The other port has a new certificate, which is not in use after the reload failed."""
    files = Certificates(tmp_path)
    both = tls(files) + tls(files, "ws_tls")
    flags = ("--ws-port", "0", "--tls-handshake-first", "on", "--monitor-tls")
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", both, *flags)
    before = shown(broker.broker.ws_port, files)
    files.sign("renewed", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    other = {"tls": "ws_tls", "ws_tls": "tls"}[failing]
    (tmp_path / "broken.pem").write_text("no certificate")
    broken = tls(files, failing).replace(files.cert_path("server"), str(tmp_path / "broken.pem"))
    broker.reload(broken + tls(files, other, "renewed"), f"{FAILED}the TLS files ")
    assert shown(broker.broker.ws_port, files) == before
    context = files.client_context()
    with TlsFirst(broker.port, context) as wire:
        assert isinstance(wire.socket, ssl.SSLSocket)
        assert wire.socket.getpeercert(binary_form=True) == before
    broker.reload(tls(files, "tls", "renewed") + tls(files, "ws_tls", "renewed"))
    assert shown(broker.broker.ws_port, files) != before


class TlsFirst(TlsWire):
    """TLS before INFO."""

    def open(self, port: int, receive_bytes: int) -> ssl.SSLSocket:
        return self._tls.wrap_socket(super().open(port, receive_bytes), server_hostname="localhost")

    def _begin(self, connect: dict[str, object] | None) -> None:
        Wire._begin(self, connect)
