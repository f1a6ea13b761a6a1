"""INFO has the same fields as on nats-server, with values of the same types."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.certificates import Certificates
from tests.support.machine import HAS_IPV6
from tests.support.nats_py import connect
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import WAIT_SECONDS, wait_until_async
from tests.support.wire_client import Wire

Start = Callable[..., Broker]
# Fields of one server only: clients do not need them, or they belong to features that mq9fast does not have.
ONLY_NATS_SERVER = {"git_commit", "xkey", "api_lvl", "cluster", "domain", "jetstream"}
ONLY_MQ9FAST = {"mq9fast"}
Settings = dict[str, str]


def info_of(port: int) -> dict[str, Any]:
    with Wire(port, None) as wire:
        return wire.info


@pytest.fixture
def nats_server_info(tmp_path: Path) -> Iterator[Callable[[Settings], dict[str, Any]]]:
    """The INFO of a nats-server with these settings."""
    servers: list[NatsServer] = []
    if NATS_SERVER is None:
        pytest.skip("there is no nats-server")

    def start(settings: Settings) -> dict[str, Any]:
        servers.append(NatsServer(tmp_path, settings))
        return info_of(servers[-1].port)

    yield start
    for server in servers:
        server.end()


def settings_of(name: str, files: Certificates) -> tuple[list[str], Settings]:
    """Flags for mq9fast and equivalent settings for nats-server."""
    cert, key, ca = files.cert_path("server"), files.key_path("server"), files.cert_path("ca")
    tls = ["--tls-cert", cert, "--tls-key", key]
    tls_block = f'cert_file: "{cert}", key_file: "{key}"'
    return {
        "default": ([], {}),
        "token": (["--token", "secret"], {"token": "secret"}),
        "payload": (["--max-payload", "5000"], {"max_payload": "5000"}),
        "name": (["--server-name", "rose"], {"server_name": "rose"}),
        "tls": (tls, {"tls": f"{{{tls_block}}}"}),
        "verify": (
            [*tls, "--tls-ca", ca, "--tls-verify"],
            {"tls": f'{{{tls_block}, ca_file: "{ca}", verify: true}}'},
        ),
    }[name]


@pytest.mark.parametrize("name", ["default", "token", "payload", "name", "tls", "verify"])
def test_info_has_the_fields_of_nats_server(
    start_broker: Start,
    nats_server_info: Callable[[Settings], dict[str, Any]],
    certificates: Certificates,
    name: str,
) -> None:
    flags, settings = settings_of(name, certificates)
    expected, info = nats_server_info(settings), info_of(start_broker(*flags).port)
    assert info.keys() - ONLY_MQ9FAST == expected.keys() - ONLY_NATS_SERVER
    for field in info.keys() - ONLY_MQ9FAST:
        assert type(info[field]) is type(expected[field]), field
    # Values that depend only on the settings are equal. No field is false, null or empty.
    for field in (
        info.keys() - ONLY_MQ9FAST - {"server_id", "server_name", "version", "go", "port", "client_id"}
    ):
        assert info[field] == expected[field], field
    assert all(info.values())


def test_server_id_name_and_version_identify_a_server(start_broker: Start) -> None:
    broker = start_broker()
    first, second = info_of(broker.port), info_of(broker.port)
    assert re.fullmatch(r"[A-Z0-9]{56}", first["server_id"])
    assert first["server_name"] == first["server_id"]
    assert re.fullmatch(r"2\.\d+\.\d+", first["version"])
    assert re.fullmatch(r"\w+\d+\.\d+\..+", first["go"])
    assert second["client_id"] > first["client_id"]
    assert {**first, "client_id": 0} == {**second, "client_id": 0}
    broker.restart()
    assert info_of(broker.port)["server_id"] != first["server_id"]
    named = start_broker("--server-name", "rose")
    assert info_of(named.port)["server_name"] == "rose"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "::", "::1"])
def test_info_has_the_host_and_port_of_the_listener(start_broker: Start, host: str) -> None:
    """The host is as given, like on nats-server. The port is the real one, also if 0 was given."""
    if ":" in host and not HAS_IPV6:
        pytest.skip("there is no IPv6")
    broker = start_broker("--host", host)
    to = "::1" if ":" in host else "127.0.0.1"
    with socket.create_connection((to, broker.port), timeout=WAIT_SECONDS) as client:
        info = json.loads(client.recv(65536).removeprefix(b"INFO "))
    assert (info["host"], info["port"], info["client_ip"]) == (host, broker.port, to)


def test_client_reconnects_to_an_advertised_address(start_broker: Start) -> None:
    """The client knows one address. When that broker stops, the client uses an advertised one."""
    reserve = start_broker()
    broker = start_broker("--advertise", f"127.0.0.1:{reserve.port}, nowhere.invalid:4222")
    assert info_of(broker.port)["connect_urls"] == [f"127.0.0.1:{reserve.port}", "nowhere.invalid:4222"]
    assert "connect_urls" not in info_of(reserve.port)

    async def move() -> None:
        async def ignore(_: Exception) -> None: ...

        client = await connect(broker.url, error_cb=ignore, reconnect_time_wait=0.05, connect_timeout=1)
        assert len(client.discovered_servers) == 2
        await asyncio.to_thread(broker.stop)

        async def is_there() -> bool:
            return client.is_connected and client.connected_url.port == reserve.port

        await wait_until_async(is_there)
        await client.flush()
        await client.close()

    asyncio.run(move())


def test_lame_duck_info_has_ldm_and_advertised_addresses(start_broker: Start) -> None:
    broker = start_broker("--advertise", "other.example:4222", "--lame-duck-duration", "600")

    async def listen() -> None:
        notified = asyncio.Event()

        async def on_lame_duck() -> None:
            notified.set()

        client = await connect(broker.url, allow_reconnect=False, lame_duck_mode_cb=on_lame_duck)
        with Wire(broker.port) as wire:
            before = wire.info
            wire.ping()
            broker.process.send_signal(signal.SIGUSR2)
            info = json.loads(wire.line().removeprefix("INFO "))
        assert info == {**before, "ldm": True}
        assert info["connect_urls"] == ["other.example:4222"]
        await asyncio.wait_for(notified.wait(), WAIT_SECONDS)
        assert not client.is_closed
        await client.close()

    asyncio.run(listen())
    assert broker.stop() == 0


def test_changed_info_follows_the_first_pong(start_broker: Start) -> None:
    """Many clients take the first line after their CONNECT for PONG, and fail or hang if it is INFO."""
    broker = start_broker("--lame-duck-duration", "600")
    with Wire(broker.port) as new, Wire(broker.port) as known:
        known.ping()
        broker.process.send_signal(signal.SIGUSR2)
        assert '"ldm":true' in known.line()
        new.send("PING\r\nPING\r\n")
        assert new.line() == "PONG"
        assert '"ldm":true' in new.line()
        assert new.line() == "PONG"
    assert broker.stop() == 0
