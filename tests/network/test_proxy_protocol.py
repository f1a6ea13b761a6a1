"""A port behind a proxy that sends PROXY headers: the broker uses the client addresses in them."""

import contextlib
import json
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.proxy_headers import BAD, GOOD, IPV4, V2, v2
from tests.support.waiting import WAIT_SECONDS, wait_until

StartBroker = Callable[..., Broker]
SIGN_ON = b"CONNECT {}\r\nPING\r\n"
HEADER = b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n"
REFUSED = "the PROXY header of 127.0.0.1"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("proxied") / "data", "--proxy-protocol", "--monitor-port", "0")
    yield broker
    broker.end()


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    if NATS_SERVER is None:
        pytest.skip("there is no nats-server")
    server = NatsServer(tmp_path_factory.mktemp("nats"), {"proxy_protocol": "true", "http": "127.0.0.1:-1"})
    yield server
    server.end()


def monitor_url(server: Broker | NatsServer) -> str:
    if isinstance(server, Broker):
        return server.monitor_url
    return "http://" + server.log.read_text().partition("Starting http monitor on ")[2].split()[0]


def connections(server: Broker | NatsServer) -> list[tuple[str, int]]:
    with urllib.request.urlopen(f"{monitor_url(server)}/connz", timeout=WAIT_SECONDS) as answer:
        return [(it["ip"], it["port"]) for it in json.load(answer)["connections"]]


@contextlib.contextmanager
def connect_to(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as client:
        yield client


def read_until(client: socket.socket, end: bytes = b"PONG\r\n") -> bytes:
    """The data up to `end`, or up to the end of the connection."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while end not in answer and (more := client.recv(65536)):
            answer += more
    return answer


def info(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n")[0].removeprefix(b"INFO "))
    return found


@pytest.mark.parametrize("server", ["proxied", "nats_server"])
@pytest.mark.parametrize("data", GOOD, ids=repr)
def test_client_address_is_that_of_the_header(
    request: pytest.FixtureRequest, server: str, data: bytes
) -> None:
    """/connz shows it, like on nats-server. INFO has it too: mq9fast sends INFO after the header."""
    running = request.getfixturevalue(server)
    with connect_to(running.port) as client:
        own = client.getsockname()
        client.sendall(data + SIGN_ON)
        answer = read_until(client)
        assert answer.endswith(b"PONG\r\n")
        expected = GOOD[data] or own
        assert expected in connections(running)
        if server == "proxied":
            assert info(answer)["client_ip"] == expected[0]


@pytest.mark.parametrize("server", ["proxied", "nats_server"])
@pytest.mark.parametrize("data", BAD, ids=repr)
def test_bad_header_closes_the_connection(request: pytest.FixtureRequest, server: str, data: bytes) -> None:
    """nats-server has sent its INFO before."""
    running = request.getfixturevalue(server)
    with connect_to(running.port) as client:
        client.sendall(data + SIGN_ON)
        answer = read_until(client)
        assert b"PONG" not in answer
        assert answer == b"" or server == "nats_server"


def test_missing_header_closes_the_connection_unlike_nats_server(
    proxied: Broker, nats_server: NatsServer
) -> None:
    """The specification says that a receiver must not guess whether there is a header."""
    with connect_to(nats_server.port) as client:
        client.sendall(SIGN_ON)
        assert b"PONG" in read_until(client)
    with connect_to(proxied.port) as client:
        port = client.getsockname()[1]
        client.sendall(SIGN_ON)
        assert b"PONG" not in read_until(client)
    reason = "cannot be used: the connection does not start with a PROXY header"
    wait_until(lambda: f":{port} {reason}" in proxied.log.read_text())


def test_header_can_arrive_in_single_bytes(proxied: Broker) -> None:
    for data in (HEADER, v2(0x21, 0x11, IPV4)):
        with connect_to(proxied.port) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in data[:-1]:
                client.sendall(bytes([byte]))
            client.sendall(data[-1:] + SIGN_ON + b"SUB a 1\r\nPUB a 2\r\nhi\r\n")
            answer = read_until(client, b"hi\r\n")
            assert info(answer)["client_ip"] == "1.2.3.4"
            assert answer.endswith(b"PONG\r\n+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\n")


def test_header_that_does_not_arrive_in_time_closes_the_connection(start_broker: StartBroker) -> None:
    broker = start_broker("--proxy-protocol", "--auth-timeout", "0.2")
    with connect_to(broker.port) as silent, connect_to(broker.port) as slow:
        slow.sendall(HEADER[:20])
        for client in (silent, slow):
            assert read_until(client) == b""
        wait_until(lambda: broker.log.read_text().count("the header did not arrive within 0.2 seconds") == 2)
    with connect_to(broker.port) as client:
        client.sendall(HEADER + SIGN_ON)
        assert read_until(client).endswith(b"PONG\r\n")


def test_connection_closed_without_data_is_not_logged(start_broker: StartBroker) -> None:
    broker = start_broker("--proxy-protocol", "--monitor-port", "0")
    for _ in range(5):
        connect_to(broker.port).__enter__().close()
    with connect_to(broker.port) as client:
        client.sendall(HEADER + SIGN_ON)
        read_until(client)
        wait_until(lambda: connections(broker) == [("1.2.3.4", 1111)])
    assert REFUSED not in broker.log.read_text()


def test_peers_without_a_complete_header_count_as_connections(start_broker: StartBroker) -> None:
    broker = start_broker("--proxy-protocol", "--max-connections", "2", "--auth-timeout", "60")
    with connect_to(broker.port) as first, connect_to(broker.port) as second:
        for client in (first, second):
            client.sendall(HEADER[:5])
        with connect_to(broker.port) as third:
            third.sendall(HEADER)
            answer = read_until(third, b"never")
        assert answer.endswith(b"-ERR 'maximum connections exceeded'\r\n")
        assert info(answer)["client_ip"] == "1.2.3.4"
        second.sendall(HEADER[5:] + SIGN_ON)
        assert read_until(second).endswith(b"PONG\r\n")


@pytest.mark.parametrize("first", ["off", "on", "auto"])
def test_tls_begins_after_the_header(start_broker: StartBroker, tmp_path: Path, first: str) -> None:
    certificates = Certificates(tmp_path)
    tls = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    broker = start_broker("--proxy-protocol", *tls, "--tls-handshake-first", first)
    for data in (HEADER, v2(0x21, 0x11, IPV4)):
        with connect_to(broker.port) as client:
            client.sendall(data)
            answer = b"" if first == "on" else read_until(client, b"\r\n")
            with certificates.client_context().wrap_socket(client, server_hostname="localhost") as inside:
                inside.sendall(SIGN_ON)
                answer += read_until(inside)
            assert info(answer)["client_ip"] == "1.2.3.4"
            assert answer.endswith(b"PONG\r\n")
    with connect_to(broker.port) as client:
        client.sendall(HEADER + b"no TLS at all, and more of it than a record has\r\n" * 10)
        read_until(client, b"never")
    wait_until(lambda: "the TLS handshake of 1.2.3.4:1111 failed" in broker.log.read_text())


def test_log_has_the_address_of_the_header(start_broker: StartBroker, tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text('token = "secret"')
    broker = start_broker("--proxy-protocol", "--config", str(config))
    with connect_to(broker.port) as client:
        client.sendall(HEADER + b'CONNECT {"auth_token":"secret"}\r\nPING\r\n')
        assert read_until(client).endswith(b"PONG\r\n")
        config.write_text('token = "another"')
        broker.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "closing 1.2.3.4:1111: not authorized" in broker.log.read_text())


def test_stop_does_not_wait_for_headers(start_broker: StartBroker) -> None:
    broker = start_broker("--proxy-protocol", "--auth-timeout", "600")
    with connect_to(broker.port) as client:
        client.sendall(V2)
        assert broker.stop() == 0


def test_header_is_refused_by_default(broker: Broker) -> None:
    with connect_to(broker.port) as client:
        client.sendall(HEADER)
        assert b"-ERR 'Unknown Protocol Operation'" in read_until(client, b"never")
