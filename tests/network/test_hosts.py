"""The host to listen on: IPv4 and IPv6 for `::` and `0.0.0.0`, one port for all, systems without IPv6."""

import errno
import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq9fast.network.listen import bind, in_url, peer_of
from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.machine import HAS_IPV6
from tests.support.monitoring import monitor_port
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import WAIT_SECONDS

StartBroker = Callable[..., Broker]
LOOPBACKS = ("127.0.0.1", "::1")
NO_IPV6 = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
int socket(int family, int type, int protocol)
{
    if (family == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return ((int (*)(int, int, int))dlsym(RTLD_NEXT, "socket"))(family, type, protocol);
}
"""


needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="there is no IPv6")


def info_from(address: str, port: int) -> dict[str, Any]:
    """The INFO of a server, read at one of its addresses."""
    with socket.create_connection((address, port), timeout=WAIT_SECONDS) as client:
        info: dict[str, Any] = json.loads(client.makefile("rb").readline().removeprefix(b"INFO "))
    return info


def connz(broker: Broker, address: str) -> list[str]:
    """The client addresses in /connz, read at one of the addresses of the monitoring port."""
    url = f"http://{in_url(address)}:{monitor_port(broker)}/connz"
    with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
        return [it["ip"] for it in json.load(answer)["connections"]]


@needs_ipv6
@pytest.mark.parametrize("host", ["::", "0.0.0.0"])
def test_broker_listens_on_ipv4_and_ipv6(start_broker: StartBroker, host: str) -> None:
    broker = start_broker("--host", host, "--monitor-host", host, "--monitor-port", "0")
    for address in LOOPBACKS:
        with socket.create_connection((address, broker.port), timeout=WAIT_SECONDS) as client:
            info = json.loads(client.makefile("rb").readline().removeprefix(b"INFO "))
            assert (info["host"], info["port"], info["client_ip"]) == (host, broker.port, address)
            assert address in connz(broker, address)
    assert f"listening on {host} without authentication" in broker.log.read_text()


@needs_ipv6
@pytest.mark.skipif(NATS_SERVER is None, reason="there is no nats-server")
@pytest.mark.parametrize("host", ["::", "0.0.0.0"])
def test_nats_server_listens_on_ipv4_and_ipv6(tmp_path: Path, host: str) -> None:
    server = NatsServer(tmp_path, {"host": host})
    try:
        for address in LOOPBACKS:
            info = info_from(address, server.port)
            assert (info["host"], info["client_ip"]) == (host, address)
    finally:
        server.end()


@needs_ipv6
def test_websocket_and_tls_listen_on_ipv4_and_ipv6(start_broker: StartBroker, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = ("--tls-cert", certificates.cert_path("server"), "--tls-key", certificates.key_path("server"))
    broker = start_broker("--host", "::", *tls, "--ws-host", "0.0.0.0", "--ws-port", "0", "--no-ws-tls")
    for address in LOOPBACKS:
        assert info_from(address, broker.port)["client_ip"] == address
        with socket.create_connection((address, broker.ws_port), timeout=WAIT_SECONDS) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(9) == b"HTTP/1.1 "


@needs_ipv6
def test_host_name_listens_on_one_port_for_all_its_addresses(start_broker: StartBroker) -> None:
    found = socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)
    broker = start_broker("--host", "localhost")
    for _, _, _, _, address in found:
        assert info_from(str(address[0]), broker.port)["port"] == broker.port


def test_broker_without_ipv6_listens_on_ipv4(start_broker: StartBroker, tmp_path: Path) -> None:
    source, library = tmp_path / "no_ipv6.c", tmp_path / "no_ipv6.so"
    source.write_text(NO_IPV6)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    preloaded = f"{os.environ.get('LD_PRELOAD', '')} {library}"
    for host in ("::", "0.0.0.0", "localhost"):
        broker = start_broker("--host", host, env={"LD_PRELOAD": preloaded})
        assert info_from("127.0.0.1", broker.port)["client_ip"] == "127.0.0.1"
        assert ("the system has no IPv6: listening on IPv4 only" in broker.log.read_text()) == (
            host != "localhost"
        )


@needs_ipv6
def test_port_taken_on_one_family_is_in_use() -> None:
    for address, host in (("127.0.0.1", "::"), ("::1", "0.0.0.0"), ("127.0.0.1", "localhost")):
        with socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        ) as taken:
            with pytest.raises(OSError) as caught:
                bind(host, taken.getsockname()[1])
            assert caught.value.errno == errno.EADDRINUSE


def test_ipv4_mapped_address_is_shown_as_ipv4() -> None:
    assert peer_of(("::ffff:10.0.0.1", 5, 0, 0)) == ("10.0.0.1", 5)
    assert peer_of(("::ffff:1", 5, 0, 0)) == ("::ffff:1", 5)
    assert peer_of(("10.0.0.1", 5)) == ("10.0.0.1", 5)
    assert peer_of(None) == peer_of("") == ("", 0)
