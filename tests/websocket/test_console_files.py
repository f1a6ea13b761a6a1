"""The console's files: what a plain GET on the WebSocket port gets."""

import gzip
import http.client
import re
import ssl
from collections.abc import Callable
from typing import NamedTuple

import pytest

from mq9fast.network.websocket import console
from tests.support.broker import Broker
from tests.support.browser import needs_console
from tests.support.certificates import Certificates
from tests.support.waiting import WAIT_SECONDS
from tests.support.websocket_client import WebWire
from tests.websocket.test_upgrade import status

MAX_COMPRESSED_BYTES = 100_000


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def get(
    port: int, path: str = "/", method: str = "GET", tls: ssl.SSLContext | None = None, **headers: str
) -> Got:
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=WAIT_SECONDS, context=tls)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={"Accept-Encoding": "identity", **fields})
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    body = response.read()
    connection.close()
    return Got(response.status, found, body)


def script_path(port: int) -> str:
    found = re.search(rb'src="(console-[A-Z0-9]+\.js)"', get(port).body)
    assert found is not None
    return f"/{found[1].decode()}"


@needs_console
def test_the_page_and_its_files_are_served_under_a_strict_policy(ws_broker: Broker) -> None:
    port = ws_broker.ws_port
    page, script = get(port), get(port, script_path(port))
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<!doctype html>" in page.body and b"<script>" not in page.body and b"style=" not in page.body
    assert script.headers["content-type"].startswith("text/javascript")
    for found in (page, script, get(port, "/no/such")):
        policy = found.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cross-origin-resource-policy"] == "same-origin"
        assert "set-cookie" not in found.headers
        assert "access-control-allow-origin" not in found.headers
        assert found.headers["connection"] == "close"


@needs_console
def test_files_are_kept_by_browsers_and_the_page_is_asked_for_again(ws_broker: Broker) -> None:
    port = ws_broker.ws_port
    page, script = get(port), get(port, script_path(port))
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert page.headers["cache-control"] == "no-cache"
    for known in (page.headers["etag"], f'"other", W/{page.headers["etag"]}'):
        again = get(port, If_None_Match=known)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", page.headers["etag"])
    assert get(port, If_None_Match='"other"').status == 200


@needs_console
def test_files_are_compressed_for_those_that_accept_it(ws_broker: Broker) -> None:
    port = ws_broker.ws_port
    path = script_path(port)
    plain, compressed = get(port, path), get(port, path, Accept_Encoding="br, gzip")
    assert compressed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert gzip.decompress(compressed.body) == plain.body
    assert compressed.headers["etag"] != plain.headers["etag"]
    assert compressed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


@needs_console
def test_head_has_the_headers_of_get_and_no_body(ws_broker: Broker) -> None:
    page, head = get(ws_broker.ws_port), get(ws_broker.ws_port, method="HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", page.headers)
    assert int(head.headers["content-length"]) == len(page.body)


@pytest.mark.parametrize(
    "path", ["/no", "/console.js", "/..%2fpy.typed", "/../py.typed", "//", "/index.html.gz", "/%ff"]
)
def test_other_paths_are_not_found(ws_broker: Broker, path: str) -> None:
    found = get(ws_broker.ws_port, path)
    assert (found.status, found.headers["content-type"]) == (404, "text/plain; charset=utf-8")


def test_upgrades_and_wrong_requests_get_what_they_got_before(ws_broker: Broker) -> None:
    assert get(ws_broker.ws_port, method="POST").status == 405
    assert get(ws_broker.ws_port, "/mqtt").status == 404
    assert get(ws_broker.ws_port, Upgrade="h2c").status == 400
    assert status(ws_broker.ws_port, b"GET / HTTP/1.1\r\n\r\n") == 400
    with WebWire(ws_broker.ws_port) as wire:
        assert "mail_address" in wire.create()


def test_the_setting_turns_it_off(start_broker: Callable[..., Broker]) -> None:
    found = get(start_broker("--ws-port", "0", "--no-console").ws_port)
    assert (found.status, found.body) == (
        400,
        b"This port serves NATS over WebSocket: the Upgrade header must be websocket.\n",
    )


@needs_console
def test_it_is_served_over_tls(start_broker: Callable[..., Broker], certificates: Certificates) -> None:
    files = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    broker = start_broker("--ws-port", "0", *files)
    assert get(broker.ws_port, tls=certificates.client_context()).status == 200


@needs_console
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_page_may_read_the_monitoring_port_and_nothing_else(
    start_broker: Callable[..., Broker], host: str
) -> None:
    broker = start_broker("--ws-port", "0", "--monitor-port", "0", "--monitor-host", host)
    name = "127.0.0.1" if host == "127.0.0.1" else "broker.example"
    url = f"http://{name}:{broker.monitor_url.rpartition(':')[2]}"
    found = get(broker.ws_port, "/monitor.json", Host="broker.example:1234")
    assert found.body.decode() == f'"{url}"'
    assert f"connect-src 'self' {url};" in found.headers["content-security-policy"]
    # What is no host name stays out of the policy.
    wrong = get(broker.ws_port, "/monitor.json", Host="evil *; script-src *")
    assert "evil" not in wrong.headers["content-security-policy"]


@needs_console
def test_without_a_monitoring_port_the_page_reads_its_own_origin_only(ws_broker: Broker) -> None:
    found = get(ws_broker.ws_port, "/monitor.json")
    assert found.body == b'""'
    assert "connect-src 'self';" in found.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example:8222/base/path", "https://a.example:8222"),
        ("http://[::1]:8222", "http://[::1]:8222"),
    ],
)
def test_the_policy_allows_the_origin_of_the_monitoring_port(url: str, origin: str) -> None:
    found = console.page("/", accepts_gzip=True, known_etags="", monitor=url)
    assert f"connect-src 'self' {origin};" in dict(found.headers)["content-security-policy"]


def test_without_the_built_files_a_sentence_says_how_to_build_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "files", dict)
    found = console.page("/", accepts_gzip=True, known_etags="")
    assert found.status == 404
    assert b"make console" in found.body


@needs_console
def test_the_console_stays_small() -> None:
    assert sum(len(file.compressed) for file in console.files().values()) < MAX_COMPRESSED_BYTES
