"""The HTTP upgrade request of a WebSocket: accepted and refused as by nats-server."""

import socket
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mq9fast.config.settings import Settings
from mq9fast.network.websocket.origins import Origins
from tests.support.broker import Broker
from tests.support.waiting import WAIT_SECONDS
from tests.support.websocket_client import BINARY, WebWire, frame, is_closed_without_data, request
from tests.support.wire_client import Wire
from tests.websocket.conftest import Ports

Start = Callable[..., Broker]
ORIGINS = "https://Good.example, http://plain.example:8080"


def response_head(port: int, data: bytes) -> bytes:
    """The status line and headers that a server answers to `data`; b"" if it only closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as peer:
        peer.sendall(data)
        received = b""
        while b"\r\n\r\n" not in received and (more := peer.recv(65536)):
            received += more
    return received


def status(port: int, data: bytes) -> int:
    """The HTTP status, 0 if there is none."""
    return int((response_head(port, data).split() or [b"", b"0"])[1])


UPGRADES = {
    "a good request": (request(), 101),
    "any path": (request("GET /some/where?x=1 HTTP/1.1"), 101),
    "HTTP/1.0": (request("GET / HTTP/1.0"), 101),
    "in lists, in capitals": (request(Connection="keep-alive, UPGRADE", Upgrade="WebSocket"), 101),
    "an unknown protocol": (request(Sec_WebSocket_Protocol="soap"), 101),
    "compression, which is not on": (request(Sec_WebSocket_Extensions="permessage-deflate"), 101),
    "any origin": (request(Origin="https://evil.example"), 101),
    "an origin of null": (request(Origin="null"), 101),
    "POST": (request("POST / HTTP/1.1"), 405),
    "HEAD": (request("HEAD / HTTP/1.1"), 405),
    "no Host": (request(Host=None), 400),
    "no Host in HTTP/1.0": (request("GET / HTTP/1.0", Host=None), 400),
    "no Upgrade": (request(Upgrade=None), 400),
    "Upgrade to something else": (request(Upgrade="h2c"), 400),
    "no Connection": (request(Connection=None), 400),
    "Connection: close": (request(Connection="close"), 400),
    "no key": (request(Sec_WebSocket_Key=None), 400),
    "an empty key": (request(Sec_WebSocket_Key=""), 400),
    "a key that is no base64": (request(Sec_WebSocket_Key="!" * 24), 400),
    "a key that is too short": (request(Sec_WebSocket_Key="eHl6"), 400),
    "no version": (request(Sec_WebSocket_Version=None), 400),
    "another version": (request(Sec_WebSocket_Version="8"), 400),
    "not HTTP": (b"PING\r\n\r\n", 400),
    "the path of MQTT": (request("GET /mqtt HTTP/1.1"), 404),
}


@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgrade_gets_the_status_of_nats_server(ports: Ports, name: str) -> None:
    data, expected = UPGRADES[name]
    assert status(ports.open, data) == expected


def test_an_accepted_upgrade_gets_the_headers_of_nats_server(ports: Ports) -> None:
    received = response_head(ports.open, request(Sec_WebSocket_Extensions="permessage-deflate")).lower()
    lines = received.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert sorted(lines) == [
        b"connection: upgrade",
        b"http/1.1 101 switching protocols",
        b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        b"upgrade: websocket",
    ]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, 101),
        ("https://good.example", 101),
        ("https://GOOD.example:443", 101),
        ("http://plain.example:8080", 101),
        ("http://good.example", 403),
        ("https://good.example:444", 403),
        ("https://good.example.evil.example", 403),
        ("http://plain.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://[", 403),
    ],
)
def test_origins_are_allowed_as_on_nats_server(ports: Ports, origin: str | None, expected: int) -> None:
    assert status(ports.strict, request(Origin=origin)) == expected


def test_info_has_the_fields_of_nats_server(ports: Ports) -> None:
    with WebWire(ports.open, None) as wire:
        assert (wire.info["host"], wire.info["port"]) == ("127.0.0.1", ports.open)
        assert wire.info["client_ip"] == "127.0.0.1"
        assert not wire.info.get("tls_required")
        assert not wire.info.get("auth_required")
        assert "connect_urls" not in wire.info
        assert "ws_connect_urls" not in wire.info
    with WebWire(ports.strict, None) as wire:
        assert wire.info["auth_required"] is True


def test_info_over_websocket_has_no_connect_urls(start_broker: Start) -> None:
    """They are addresses of the client port, which a web page cannot use."""
    broker = start_broker("--ws-port", "0", "--advertise", "192.0.2.1:4222")
    with Wire(broker.port) as plain, WebWire(broker.ws_port) as web:
        assert plain.info["connect_urls"] == ["192.0.2.1:4222"]
        assert "connect_urls" not in web.info


def test_data_after_the_request_is_refused(ws_broker: Broker) -> None:
    for rest in (frame(BINARY, b"PING\r\n"), b"x"):
        assert status(ws_broker.ws_port, request() + rest) == 400
    assert status(ws_broker.ws_port, request(Content_Length="3") + b"abc") == 400
    assert status(ws_broker.ws_port, request(Transfer_Encoding="chunked") + b"0\r\n\r\n") in {101, 400}


def test_an_upgrade_may_arrive_byte_by_byte(ws_broker: Broker) -> None:
    with socket.create_connection(("127.0.0.1", ws_broker.ws_port), timeout=WAIT_SECONDS) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request():
            peer.sendall(bytes([byte]))
        received = b""
        while b"INFO " not in received:
            received += peer.recv(65536)
        assert received.startswith(b"HTTP/1.1 101 ")


def test_headers_that_are_too_long_are_refused(ws_broker: Broker) -> None:
    assert status(ws_broker.ws_port, request(X_Long="x" * 100_000)) == 431


def test_a_peer_that_does_not_finish_its_upgrade_is_closed(start_broker: Start) -> None:
    broker = start_broker("--ws-port", "0", "--auth-timeout", "1")
    peers = [socket.create_connection(("127.0.0.1", broker.ws_port), timeout=WAIT_SECONDS) for _ in range(3)]
    peers[1].sendall(b"GET / HT")
    peers[2].sendall(request()[:-2])
    for peer in peers:
        with peer:
            assert is_closed_without_data(peer)
    with WebWire(broker.ws_port) as wire:
        time.sleep(1.5)
        wire.ping()


@given(st.text(st.characters(codec="latin-1"), max_size=40))
@settings(max_examples=300)
def test_any_text_as_origin_is_allowed_only_if_listed(origin: str) -> None:
    origins = Origins(Settings(ws_origins=ORIGINS))
    for text in (origin, f"https://{origin}", f"https://good.example{origin}"):
        assert (
            not origins.allow(text, "here", secure=False)
            or "good.example" in text.lower()
            or "plain.example" in text.lower()
        )


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_as_a_request_are_refused(ws_broker: Broker, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", ws_broker.ws_port), timeout=WAIT_SECONDS) as peer:
        peer.sendall(data + b"\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        try:
            received = peer.recv(65536)
        except ConnectionError:
            received = b""
        assert received[:12] in {b"", b"HTTP/1.1 400"} or received.startswith(b"HTTP/1.1 4")
