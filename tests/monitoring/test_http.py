"""HTTP on the monitoring port: methods, paths, connections, limits and errors."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mq9fast.monitoring.http import MAX_CONNECTIONS
from tests.support.broker import Broker
from tests.support.monitoring import get, monitor_port, read
from tests.support.ports import free_port
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

PAGES = ("/", "/healthz", "/varz", "/connz", "/subsz", "/subscriptionsz", "/mailboxz", "/metrics")


def exchange(port: int, request: bytes) -> bytes:
    """Send a request, and return everything that the broker sends until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as raw:
        raw.sendall(request)
        received = b""
        while more := raw.recv(65536):
            received += more
    return received


def test_healthz_of_a_healthy_broker(port: int) -> None:
    assert get(port, "/healthz") == (200, "application/json", b'{"status":"ok"}')


def test_healthz_of_a_broker_with_a_fault(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--monitor-port", "0", "--min-free", str(1 << 60))
    wait_until(lambda: broker.health)
    status, _, body = get(monitor_port(broker), "/healthz")
    assert (status, json.loads(body)) == (503, {"status": "unavailable", "error": broker.health})
    status, _, body = get(monitor_port(broker), "/healthz?details=1")
    errors = [{"type": "JETSTREAM", "error": broker.health}]
    assert (status, json.loads(body)) == (503, {"status": "error", "errors": errors})


def test_the_index_links_to_every_page(port: int) -> None:
    status, content_type, body = get(port, "/")
    assert (status, content_type) == (200, "text/html; charset=utf-8")
    assert re.findall(r'href="\.(.*?)"', body.decode()) == list(PAGES[1:])


@pytest.mark.parametrize("path", PAGES)
def test_head_has_the_status_and_no_body(port: int, path: str) -> None:
    assert get(port, path, "HEAD")[0::2] == (200, b"")


def test_head_has_the_length_of_a_page_in_many_pieces(monitored: Broker, port: int) -> None:
    path = "/subsz?subs=1&limit=5000"
    with Wire(monitored.port) as wire, closing(HTTPConnection("127.0.0.1", port)) as client:
        wire.send("".join(f"SUB some.subject.{number:05} {number}\r\n" for number in range(5000)))
        wire.ping()
        client.request("HEAD", path)
        head = client.getresponse()
        assert head.read() == b""
        client.request("GET", path)
        page = client.getresponse()
        assert page.getheader("transfer-encoding") == "chunked"
        assert head.getheader("content-length") == str(len(page.read()))


@pytest.mark.parametrize("path", [*PAGES, "*"])
def test_options_lists_the_methods(port: int, path: str) -> None:
    with closing(HTTPConnection("127.0.0.1", port)) as client:
        client.request("OPTIONS", path)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (204, b"")
        assert answer.getheader("allow") == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"])
def test_other_methods_get_405_with_the_allowed_ones(port: int, method: str) -> None:
    with closing(HTTPConnection("127.0.0.1", port)) as client:
        client.request(method, "/mailboxz")
        answer = client.getresponse()
        assert (answer.status, answer.getheader("allow")) == (405, "GET, HEAD, OPTIONS")
        assert answer.read() == b"Method not allowed. Use GET, HEAD, OPTIONS.\n"


@pytest.mark.parametrize("path", PAGES)
def test_the_target_may_be_an_absolute_uri(port: int, path: str) -> None:
    wanted = get(port, path)[:2]
    for uri in (f"http://host:80{path}?limit=1", f"HTTPS://host{path}", f"http://host{path}?a=http://x/y"):
        status, content_type, body = get(port, uri)
        assert (status, content_type) == wanted
        assert body
    assert get(port, f"http://host{path}x")[0] == 404


def test_a_uri_without_a_path_is_the_index(port: int) -> None:
    assert get(port, "http://host") == get(port, "http://host?a=/healthz") == get(port, "/")


def test_the_path_may_be_percent_encoded(port: int) -> None:
    assert get(port, "/%68ealthz") == get(port, "/healthz")


def test_a_connection_is_kept_open_for_more_requests(port: int) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)) as client:
        client.connect()
        address = client.sock.getsockname()
        for path in (*PAGES, "/nothing", "/connz?sort=x"):
            for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
                client.request(method, path)
                client.getresponse().read()
                assert client.sock is not None
                assert client.sock.getsockname() == address


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    request = b"GET %s HTTP/1.1\r\nhost: a\r\n%s\r\n"
    last = request % (b"/healthz", b"connection: close\r\n")
    received = exchange(port, request % (b"/connz", b"") + request % (b"/nothing", b"") + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"404", b"200"]
    assert received.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_request_with_a_body_is_the_last_of_its_connection_of_its_connection(
    port: int, method: bytes
) -> None:
    received = exchange(port, method + b" /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nabc")
    assert b"connection: close" in received


def test_the_oldest_idle_connection_is_closed_when_there_are_too_many(port: int) -> None:
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS))
            for _ in range(MAX_CONNECTIONS + 20)
        ]
        assert get(port, "/healthz")[0] == 200
        for first in idle[:20]:
            with suppress(ConnectionResetError):
                assert first.recv(1) == b""
        idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200")


def test_status_of_unknown_paths_methods_and_values(port: int) -> None:
    status, _, body = get(port, "/nothing")
    assert status == 404
    assert b"/healthz" in body
    assert get(port, "/varz", "POST")[0] == 405
    assert get(port, "/connz?sort=nonsense", "HEAD")[0] == 400


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01 nonsense\r\n\r\n", b"400"),
        (b"GET /varz\r\n\r\n", b"400"),
        (b"GET /varz HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 20000, b"431"),
    ],
)
def test_invalid_requests_get_an_error_status(port: int, request_bytes: bytes, status: bytes) -> None:
    assert exchange(port, request_bytes).startswith(b"HTTP/1.1 " + status)
    assert get(port, "/healthz")[0] == 200


def test_an_http_1_0_client_gets_its_page(port: int) -> None:
    head, _, body = exchange(port, b"GET /connz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body.startswith(b"{") and body.endswith(b"}")


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(PAGES),
    query=st.one_of(
        st.text("abcxyz=&%+;0123456789-_.~/?", max_size=60),
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["sort", "limit", "offset", "subs", "cid", "auth", "state", "test", "cursor"]
                ),
                st.sampled_from(
                    ["", "0", "1", "-1", "true", "cid", "%00", "%ff", "9" * 30, "detail", "a.b", "1.5"]
                ),
            )
        ).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)),
    ),
)
def test_any_query_gets_a_page_or_a_400_with_a_sentence(port: int, path: str, query: str) -> None:
    status, content_type, body = get(port, f"{path}?{query}")
    assert status in {200, 400}, body
    if status == 400:
        assert content_type.startswith("text/plain")
        assert re.fullmatch(rb"The parameter \w+ must be .*\.\n", body)


def test_too_many_parameters(port: int) -> None:
    assert get(port, "/connz?" + "&".join(f"a{n}=1" for n in range(40)))[2].startswith(
        b"The query has more than"
    )


def test_the_first_of_repeated_parameters_counts_and_unknown_ones_are_ignored(port: int) -> None:
    assert read(port, "/connz?limit=3&limit=x&fruit=apple")["limit"] == 3


def test_a_client_that_stops_reading_delays_nobody_and_costs_little_memory(
    monitored: Broker, port: int
) -> None:
    with Wire(monitored.port) as wire, socket.socket() as slow:
        for number in range(20_000):
            wire.send(f"SUB some.subject.that.is.long.enough.{number:0100} {number}\r\n")
        wire.ping()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        before = monitored.rss_bytes
        slow.sendall(b"GET /subsz?subs=1&limit=20000 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.5)
        assert get(port, "/healthz")[0] == 200
        assert len(read(port, "/subsz?subs=1&limit=20000")["subscriptions_list"]) == 20_000
        assert monitored.rss_bytes - before < 30 << 20


def test_the_default_port_in_use_is_a_warning_and_a_configured_one_an_error(
    start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    first = start_broker("--monitor-port", "0")
    taken = str(monitor_port(first))
    in_use = "another process uses this port; stop it, or change monitor_port"
    with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{taken}: {in_use}"):
        start_broker("--monitor-port", taken)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def bind_default_port() -> bool:
            try:
                holder.bind(("127.0.0.1", 8222))
                holder.listen()
            except OSError:
                return False
            return True

        # If another run of this test has the port, wait. If another process keeps it, that is fine too.
        with suppress(AssertionError):
            wait_until(bind_default_port, 10)
        broker = Broker(tmp_path / "default", monitor=True)
        try:
            assert (
                "running without monitoring: cannot listen on 127.0.0.1:8222: another process"
                in broker.log.read_text()
            )
        finally:
            broker.end()


def test_a_stop_closes_http_connections(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--monitor-port", "0")
    with socket.create_connection(("127.0.0.1", monitor_port(broker)), timeout=WAIT_SECONDS) as idle:
        assert broker.stop() == 0
        assert idle.recv(1) == b""


def test_varz_is_served_only_once_clients_can_connect(tmp_path: Path) -> None:
    client_port, http_port = free_port(), free_port()
    command = [sys.executable, "-m", "mq9fast", "--port", str(client_port), "--monitor-port", str(http_port)]
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    answered = 0

    def poll() -> None:
        nonlocal answered
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end and answered < 5:
            try:
                status = get(http_port, "/varz")[0]
            except OSError:
                continue
            assert status == 200
            with Wire(client_port) as wire:
                wire.ping()
            answered += 1

    poller = threading.Thread(target=poll)
    poller.start()
    poller.join()
    process.terminate()
    process.wait(WAIT_SECONDS)
    assert answered == 5
