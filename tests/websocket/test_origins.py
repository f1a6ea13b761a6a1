"""Which web pages may connect: ws_same_origin, alone and with ws_origins, as on nats-server."""

from collections.abc import Callable

import pytest

from tests.websocket.test_upgrade import request, status

StartWebSocket = Callable[..., int]
BY_HOST = [
    # The Host header, the Origin header, and whether such a page may connect.
    ("broker", None, True),
    ("broker", "http://broker", True),
    ("broker:80", "http://BROKER", True),
    # The port has no TLS, so a page of https is another origin.
    ("broker:443", "https://broker", False),
    ("broker", "https://broker", False),
    ("broker", "http://broker:8080", False),
    ("broker:8080", "http://broker:8080", True),
    ("broker", "http://other", False),
    ("broker", "null", False),
    ("broker", "https://[", False),
    ("[::1]:8080", "http://[::1]:8080", True),
]


def test_pages_of_the_same_origin_may_connect(start_websocket: StartWebSocket) -> None:
    port = start_websocket(["--ws-same-origin"], "no_tls: true, same_origin: true")
    for host, origin, allowed in BY_HOST:
        found = status(port, request(Host=host, Origin=origin))
        assert found == (101 if allowed else 403), (host, origin)


def test_with_a_list_both_rules_must_allow_a_page(start_websocket: StartWebSocket) -> None:
    port = start_websocket(
        ["--ws-same-origin", "--ws-origins", "http://a.org, http://b.org"],
        'no_tls: true, same_origin: true, allowed_origins: ["http://a.org", "http://b.org"]',
    )
    for host, origin, expected in [
        ("a.org", "http://a.org", 101),
        ("a.org", "http://b.org", 403),
        ("c.org", "http://c.org", 403),
        ("c.org", None, 101),
    ]:
        assert status(port, request(Host=host, Origin=origin)) == expected, (host, origin)


@pytest.mark.parametrize(("origin", "expected"), [("http://broker", 101), ("http://other", 403)])
def test_the_header_of_older_browsers_counts_too(
    start_websocket: StartWebSocket, origin: str, expected: int
) -> None:
    port = start_websocket(["--ws-same-origin"], "no_tls: true, same_origin: true")
    assert status(port, request(Sec_WebSocket_Origin=origin)) == expected
