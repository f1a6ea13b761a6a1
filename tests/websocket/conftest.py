"""Servers with a WebSocket port: mq9fast, and nats-server to compare it with."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
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


def websocket_port(server: NatsServer) -> int:
    """The WebSocket port of a nats-server that has started."""
    wait_until(lambda: NATS_LINE.search(server.log.read_text()), START_SECONDS)
    return int(NATS_LINE.findall(server.log.read_text())[0])


@pytest.fixture
def start_websocket(
    server: str, start_broker: Callable[..., Broker], tmp_path: Path
) -> Iterator[Callable[..., int]]:
    """Starts either server; returns the WebSocket port. Arguments: flags of mq9fast, lines of the `websocket`
    block of nats-server, and other settings of it, which are flags of mq9fast too."""
    servers: list[NatsServer] = []

    def start(flags: Sequence[str], block: str, **settings: str) -> int:
        if server == "mq9fast":
            more = [text for name, value in settings.items() for text in (f"--{name}", value)]
            return start_broker("--ws-port", "0", *flags, *more).ws_port
        if NATS_SERVER is None:
            pytest.skip("nats-server is not installed")
        lines = f'{{ listen: "127.0.0.1:-1", {block} }}'
        servers.append(NatsServer(tmp_path, {"websocket": lines, **settings}))
        return websocket_port(servers[-1])

    yield start
    for each in servers:
        each.end()


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
    servers = []
    for number, options in enumerate(sets):
        path = directory / str(number)
        path.mkdir()
        servers.append(NatsServer(path, options))
    yield Ports(*map(websocket_port, servers))
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
