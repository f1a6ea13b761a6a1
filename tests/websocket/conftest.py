"""Servers with a WebSocket port: mq9fast, and nats-server to compare it with."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.broker import Broker
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import START_SECONDS, wait_until
from tests.support.websocket_client import WebWire

SERVERS = ["mq9fast", "nats-server"]
ORIGINS = "https://Good.example, http://plain.example:8080"
NATS_LINE = re.compile(r"Listening for websocket clients on wss?://.*:(\d+)\n")


class Ports(NamedTuple):
    """Two WebSocket ports of a server: one open to all, one with allowed origins, a token and short
    timeouts."""

    open: int
    strict: int


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ports(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """The ports of two brokers, or of two nats-servers with the same settings."""
    directory = tmp_path_factory.mktemp(server)
    if server == "mq9fast":
        strict = ("--token", "secret", "--auth-timeout", "1", "--ws-origins", ORIGINS)
        brokers = [
            Broker(directory / "open", "--ws-port", "0"),
            Broker(
                directory / "strict", "--ws-port", "0", *strict, "--ping-interval", "0.8", "--ping-max", "1"
            ),
        ]
        yield Ports(*(broker.ws_port for broker in brokers))
        for broker in brokers:
            broker.end()
        return
    if NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    allowed = ", ".join(f'"{origin.strip()}"' for origin in ORIGINS.split(","))
    with_websocket = 'listen: "127.0.0.1:-1", no_tls: true'
    sets = [
        {"websocket": f"{{ {with_websocket} }}"},
        {
            "websocket": f"{{ {with_websocket}, allowed_origins: [{allowed}] }}",
            "token": "secret",
            "auth_timeout": "1",
            "ping_interval": "0.8",
            "ping_max": "1",
        },
    ]
    found, servers = [], []
    for number, options in enumerate(sets):
        path = directory / str(number)
        path.mkdir()
        servers.append(NatsServer(path, options))
        log = servers[-1].log
        wait_until(lambda log=log: NATS_LINE.search(log.read_text()), START_SECONDS)
        found.append(int(NATS_LINE.findall(log.read_text())[0]))
    yield Ports(*found)
    for nats_server in servers:
        nats_server.end()


@pytest.fixture(scope="module")
def ws_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("ws") / "data", "--ws-port", "0")
    yield broker
    broker.end()


@pytest.fixture
def web(ws_broker: Broker) -> Iterator[WebWire]:
    with WebWire(ws_broker.ws_port) as wire:
        yield wire
