"""A WebSocket port behind an HTTP proxy: X-Forwarded-For gives the address of the client."""

import json
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.websocket_client import WebWire, request

Start = Callable[..., Broker]
FLAGS = ("--ws-port", "0", "--monitor-port", "0")


def shown_address(broker: Broker, value: str | None) -> Any:
    """The address of a client on /connz and in INFO, if the header X-Forwarded-For is `value`."""
    with WebWire(broker.ws_port, X_Forwarded_For=value) as wire:
        monitor = broker.log.read_text().partition("monitoring on ")[2].split()[0]
        url = f"{monitor}/connz?cid={wire.info['client_id']}"
        with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
            (found,) = json.load(answer)["connections"]
        assert found["ip"] == wire.info["client_ip"]
        assert found["port"] > 0
        return found["ip"]


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("9.9.9.9", "9.9.9.9"),
        (" 9.9.9.9 ", "9.9.9.9"),
        ("2001:db8::2", "2001:db8::2"),
        ("2001:DB8:0::2", "2001:db8::2"),
        ("::ffff:9.9.9.9", "9.9.9.9"),
        # The proxy added the last one. The client may have sent those before it.
        ("1.1.1.1, 9.9.9.9", "9.9.9.9"),
        ("nonsense,9.9.9.9", "9.9.9.9"),
        ("1.1.1.1\r\nX-Forwarded-For: 9.9.9.9", "9.9.9.9"),
        # Not an address.
        (None, "127.0.0.1"),
        ("", "127.0.0.1"),
        ("9.9.9.9,", "127.0.0.1"),
        ("9.9.9.9, unknown", "127.0.0.1"),
        ("9.9.9.9:80", "127.0.0.1"),
        ("[2001:db8::2]", "127.0.0.1"),
        ("fe80::1%eth0", "127.0.0.1"),
        ("x" * 5000, "127.0.0.1"),
    ],
)
def test_the_address_is_the_last_of_the_header(forwarded: Broker, value: str | None, address: str) -> None:
    assert shown_address(forwarded, value) == address


@pytest.fixture(scope="module")
def forwarded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    broker = Broker(tmp_path_factory.mktemp("forwarded") / "data", *FLAGS, "--ws-forwarded-for")
    yield broker
    broker.end()


def test_off_by_default_and_turned_on_by_a_reload(start_broker: Start, tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text("")
    broker = start_broker(*FLAGS, "--config", str(config))
    assert shown_address(broker, "9.9.9.9") == "127.0.0.1"
    config.write_text("ws_forwarded_for = true")
    broker.process.send_signal(signal.SIGHUP)
    wait_until(lambda: shown_address(broker, "9.9.9.9") == "9.9.9.9")


def test_a_refused_upgrade_is_logged_with_the_address_of_the_client(forwarded: Broker) -> None:
    with socket.create_connection(("127.0.0.1", forwarded.ws_port), timeout=WAIT_SECONDS) as peer:
        peer.sendall(request(Sec_WebSocket_Version="8", X_Forwarded_For="9.9.9.9"))
        assert peer.recv(12) == b"HTTP/1.1 400"
    wait_until(lambda: "the WebSocket upgrade of 9.9.9.9:" in forwarded.log.read_text())
