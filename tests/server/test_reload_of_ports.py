"""A reload of what INFO says: TLS on and off, client certificates, max_payload and advertise."""

import contextlib
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.configured_broker import ConfiguredBroker, StartBroker
from tests.support.tls_wire import TlsWire
from tests.support.wire_client import MAILBOX, Wire

Configure = Callable[[str], str]


def tls(files: Certificates, more: str = "") -> str:
    """The settings for TLS."""
    paths = {"cert": files.cert_path("server"), "key": files.key_path("server"), "ca": files.cert_path("ca")}
    return "".join(f'tls_{name} = "{path}"\n' for name, path in paths.items()) + more


def next_info(wire: Wire) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(wire.line().removeprefix("INFO "))
    return info


@pytest.mark.parametrize("flags", [(), ("--proxy-protocol",)], ids=["plain", "behind a proxy"])
def test_tls_on_and_off(
    start_broker: StartBroker, tmp_path: Path, certificates: Certificates, flags: tuple[str, ...]
) -> None:
    header = b"PROXY UNKNOWN\r\n" if flags else b""

    class Proxied(Wire):
        def open(self, port: int, receive_bytes: int) -> Any:
            opened = super().open(port, receive_bytes)
            opened.sendall(header)
            return opened

    class ProxiedTls(TlsWire, Proxied):
        pass

    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "", *flags)
    context = certificates.client_context()
    with Proxied(broker.port) as before:
        before.ping()
        for _ in range(2):
            broker.reload(tls(certificates))
            assert next_info(before)["tls_required"] is True
            with ProxiedTls(broker.port, context) as secure, Proxied(broker.port) as plain:
                assert secure.info["tls_required"] is True
                secure.sub("a")
                secure.ping()
                before.pub("a", "x")
                assert secure.message().payload == b"x"
                assert plain.closed()
                broker.reload("")
                assert "tls_required" not in next_info(before)
                assert "tls_required" not in next_info(secure)
                with Proxied(broker.port) as after:
                    assert "tls_required" not in after.info
                    after.ping()
                before.pub("a", "y")
                assert secure.message().payload == b"y"
    assert broker.broker.stop() == 0


def test_connections_that_wait_in_the_backlog_are_accepted(
    start_broker: StartBroker, tmp_path: Path, certificates: Certificates
) -> None:
    """Clients connect all the time while TLS is turned on: each gets INFO of one kind or the other."""
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "")
    wires = []
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            wires.append(stack.enter_context(Wire(broker.port, None)))
        broker.reload(tls(certificates))
        for _ in range(50):
            wires.append(stack.enter_context(Wire(broker.port, None)))
        required = [wire.info.get("tls_required", False) for wire in wires]
        assert required == [False] * 50 + [True] * 50


def test_client_certificates(start_broker: StartBroker, tmp_path: Path, certificates: Certificates) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", tls(certificates))
    without, with_one = certificates.client_context(), certificates.client_context("client")

    def is_accepted(context: ssl.SSLContext) -> bool:
        try:
            with TlsWire(broker.port, context) as wire:
                wire.ping()
        except (ssl.SSLError, ConnectionError, EOFError):
            return False
        return True

    assert is_accepted(without)
    broker.reload(tls(certificates, "tls_verify = true\n"))
    assert not is_accepted(without)
    assert is_accepted(with_one)
    with Wire(broker.port, None) as wire:
        assert wire.info["tls_verify"] is True
    users = '[[users]]\nuser = "CN=client"\n'
    broker.reload(tls(certificates, "tls_verify_and_map = true\n" + users))
    with TlsWire(broker.port, with_one) as wire:
        wire.create(name="box")
        wire.msg("box")
        assert wire.list("box")["messages"][0]["from"] == "CN=client"
        broker.reload(tls(certificates))
        assert is_accepted(without)


def test_max_payload(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "max_payload = 2000\n")
    with Wire(broker.port) as wire:
        wire.ping()
        wire.create(name="box")
        for _ in range(3):
            assert "msg_id" in wire.msg("box", "x" * 1500)
        assert len(wire.list("box")["messages"]) == 1
        broker.reload("max_payload = 10000\n")
        assert next_info(wire)["max_payload"] == 10000
        assert "msg_id" in wire.msg("box", "x" * 9000)
        assert len(wire.list("box")["messages"]) == 3
        broker.reload("max_payload = 1000\n")
        assert next_info(wire)["max_payload"] == 1000
        assert len(wire.request(f"{MAILBOX}LIST.box").payload) <= 1000
        wire.pub("a", "x" * 1001)
        assert wire.line() == "-ERR 'Maximum Payload Violation'"
        assert wire.closed()


def test_advertise(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = ConfiguredBroker(start_broker, tmp_path / "mq9.toml", "")
    with Wire(broker.port) as wire:
        wire.ping()
        assert (wire.info["host"], wire.info["port"]) == ("127.0.0.1", broker.port)
        broker.reload('advertise = "[::2]:4333, b.example:4222"\n')
        info = next_info(wire)
        assert (info["host"], info["port"]) == ("::2", 4333)
        assert info["connect_urls"] == ["[::2]:4333", "b.example:4222"]
        broker.reload("max_subscriptions = 7\n" + 'advertise = "[::2]:4333, b.example:4222"\n')
        # Nothing of INFO changed.
        wire.ping()
        broker.reload("")
        assert "connect_urls" not in next_info(wire)
