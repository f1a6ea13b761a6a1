"""$SYS events: mq9fast and nats-server tell a system user the same of clients and of their own end."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.wire_client import Wire
from tests.wire.script import SERVERS
from tests.wire.test_system_requests import NATS_USERS, USERS, sign_in

EVENTS = ("$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT", "$SYS.SERVER.*.CLIENT.AUTH.ERR")
Start = Callable[[str], Broker | NatsServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Broker | NatsServer] = []

    def launch(server: str) -> Broker | NatsServer:
        (tmp_path / "mq9.toml").write_text(USERS)
        (tmp_path / "accounts.conf").write_text(NATS_USERS)
        if server == "mq9fast":
            running.append(Broker(tmp_path / "data", "--config", str(tmp_path / "mq9.toml")))
        elif NATS_SERVER is None:
            pytest.skip("nats-server is not installed")
        else:
            running.append(NatsServer(tmp_path, {"config": str(tmp_path / "accounts.conf")}))
        return running[-1]

    yield launch
    for server in running:
        server.end()


def told_of(watching: Wire, name: str) -> dict[str, Any]:
    """The next event about the client `name`."""
    while True:
        event: dict[str, Any] = json.loads(watching.message().payload)
        if event.get("client", {}).get("name") == name:
            return event


@pytest.mark.parametrize("server", SERVERS)
def test_events_of_a_client(start: Start, server: str) -> None:
    port = start(server).port
    with sign_in(port, "sys") as watching:
        for subject in EVENTS:
            watching.sub(subject, subject)
        watching.ping()
        with sign_in(port, "anna") as anna:
            event = told_of(watching, "anna")
            assert event["type"] == "io.nats.server.advisory.v1.client_connect"
            assert {"id", "timestamp", "server"} <= event.keys()
            assert event["server"]["id"] == anna.info["server_id"]
            client = event["client"]
            assert (client["user"], client["lang"], client["ver"]) == ("anna", "python", "1")
            assert (client["host"], client["id"]) == ("127.0.0.1", anna.info["client_id"])
            assert (client["kind"], client["client_type"]) == ("Client", "nats")
            anna.sub("a")
            anna.pub("a", "xyz")
            anna.message()
        event = told_of(watching, "anna")
        assert event["type"] == "io.nats.server.advisory.v1.client_disconnect"
        assert event["reason"] == "Client Closed"
        for direction in ("sent", "received"):
            assert (event[direction]["msgs"], event[direction]["bytes"]) == (1, 3)
        assert event["client"]["start"] <= event["client"]["stop"]
        with Wire(port, {"user": "anna", "pass": "wrong", "name": "who"}) as wire:
            assert wire.closed()
        # Neither server knows the name yet when a sign-in fails.
        event = json.loads(watching.message().payload)
        assert event["reason"] == "Authentication Failure"
        assert event["client"]["host"] == "127.0.0.1"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("sent", "event"), [(signal.SIGTERM, "SHUTDOWN"), (signal.SIGUSR2, "LAMEDUCK")], ids=["stop", "lame duck"]
)
def test_end_of_the_server(start: Start, server: str, sent: signal.Signals, event: str) -> None:
    running = start(server)
    with sign_in(running.port, "sys") as watching:
        watching.sub(f"$SYS.SERVER.{watching.info['server_id']}.{event}")
        watching.ping()
        running.process.send_signal(sent)
        assert json.loads(watching.message().payload)["id"] == watching.info["server_id"]


@pytest.mark.parametrize("server", SERVERS)
def test_statistics(start: Start, server: str) -> None:
    with sign_in(start(server).port, "sys") as watching:
        watching.sub(f"$SYS.SERVER.{watching.info['server_id']}.STATSZ")
        event = json.loads(watching.message().payload)
        assert event["server"]["id"] == watching.info["server_id"]
        assert event["statsz"]["connections"] == 1


@pytest.mark.parametrize("server", SERVERS)
def test_other_users_hear_nothing(start: Start, server: str) -> None:
    port = start(server).port
    with sign_in(port, "anna") as anna, sign_in(port, "sys") as watching:
        for wire in (anna, watching):
            wire.sub("$SYS.ACCOUNT.>")
            wire.ping()
        with sign_in(port, "berta"):
            told_of(watching, "berta")
        anna.ping()
        assert not anna.received
