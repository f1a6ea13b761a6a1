"""Closed connections on /connz: reasons, filters and orders as on nats-server, and how many are kept."""

import json
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mq9fast.network.connection_record import (
    MAX_CLOSED,
    MAX_CLOSED_BYTES,
    ClosedConnections,
    ConnectionRecord,
)
from tests.support.broker import Broker
from tests.support.monitoring import get, monitor_port, read
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.waiting import wait_until
from tests.support.websocket_client import WebWire
from tests.support.wire_client import Wire

USERS = Path(__file__).parent.parent / "wire" / "users.toml"
FREE = {"user": "free", "pass": "free"}
# What a client does, and why its connection is closed.
ENDS: dict[str, str] = {
    "leaves": "Client Closed",
    "resets": "Read Error",
    "has a wrong password": "Authentication Failure",
    "does not sign in": "Authentication Failure",
    "sends no operation": "Protocol Violation",
    "sends a message that is too large": "Maximum Message Payload Exceeded",
    "sends a line that is too long": "Maximum Control Line Exceeded",
    "has an unknown protocol": "Bad Client Protocol Version",
    "wants no_responders without headers": "No Responders Requires Headers",
}
Ports = list[tuple[int, int]]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """Client port and monitoring port of mq9fast, and of nats-server if it is installed."""
    directory = tmp_path_factory.mktemp("closed")
    ours = Broker(directory / "data", "--config", str(USERS), "--monitor-port", "0")
    found = [(ours.port, monitor_port(ours))]
    theirs = None
    if NATS_SERVER is not None:
        theirs = NatsServer(directory, {"config": str(USERS), "http": "127.0.0.1:-1"})
        http = re.search(r"http monitor on 127.0.0.1:(\d+)", theirs.log.read_text())
        assert http is not None
        found.append((theirs.port, int(http[1])))
    yield found
    ours.end()
    if theirs is not None:
        theirs.end()


def end(port: int, way: str, name: str) -> int:
    """Open a connection that ends in this way. Returns its number."""
    connect: dict[str, Any] = {**FREE, "name": name}
    if way == "has a wrong password":
        connect["pass"] = "wrong"
    elif way == "has an unknown protocol":
        connect["protocol"] = 7
    elif way == "wants no_responders without headers":
        connect["headers"] = False
    with Wire(port, None if way == "does not sign in" else connect) as wire:
        if way == "resets":
            wire.ping()
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way == "leaves":
            wire.sub("a")
            wire.pub("a", "x")
            wire.message()
        else:
            wire.send(
                {
                    "does not sign in": "PING\r\n",
                    "sends no operation": "FOO\r\n",
                    "sends a message that is too large": "PUB a 99999999\r\n",
                    "sends a line that is too long": "PUB " + "a" * 9000,
                }.get(way, "PING\r\n")
            )
            assert wire.closed()
        return int(wire.info["client_id"])


def closed(http_port: int, cid: int, query: str = "") -> list[dict[str, Any]]:
    page = read(http_port, f"/connz?state=closed&cid={cid}{query}")
    return list(page["connections"])


@pytest.mark.parametrize("way", ENDS)
def test_reason(ports: Ports, way: str) -> None:
    for port, http_port in ports:
        cid = end(port, way, "c")
        wait_until(lambda cid=cid, http_port=http_port: closed(http_port, cid))
        (found,) = closed(http_port, cid)
        assert found["reason"] == ENDS[way]
        assert found["start"] <= found["last_activity"] and found["start"] <= found["stop"]
        assert read(http_port, f"/connz?cid={cid}")["connections"] == []


def test_fields_are_those_of_nats_server(ports: Ports) -> None:
    pages = []
    for port, http_port in ports:
        cid = end(port, "leaves", "fields")
        wait_until(lambda cid=cid, http_port=http_port: closed(http_port, cid))
        (found,) = closed(http_port, cid, "&auth=1")
        pages.append({name: it for name, it in found.items() if name not in {"rtt", "name_tag"}})
    changing = ("cid", "port", "start", "stop", "last_activity", "subscriptions")
    same = [{name: it for name, it in page.items() if name not in changing} for page in pages]
    assert all(one == same[0] for one in same)
    assert all(page.keys() == pages[0].keys() for page in pages)
    assert (pages[0]["authorized_user"], pages[0]["in_msgs"], pages[0]["out_bytes"]) == ("free", 1, 1)


def test_orders_and_filters(ports: Ports) -> None:
    for port, http_port in ports:
        ways = ("has an unknown protocol", "leaves", "sends no operation")
        cids = []
        for way in ways:
            cids.append(end(port, way, "order"))
            wait_until(lambda cid=cids[-1], http_port=http_port: closed(http_port, cid))
        with Wire(port, {**FREE, "name": "order"}) as wire:
            wire.ping()
            open_cid = wire.info["client_id"]

            def listed(
                query: str, http_port: int = http_port, cids: list[int] = cids, open_cid: int = open_cid
            ) -> list[int]:
                connections = read(http_port, f"/connz?limit=1000&{query}")["connections"]
                return [it["cid"] for it in connections if it["cid"] in {*cids, open_cid}]

            assert listed("state=closed&sort=stop") == cids[::-1]
            assert listed("state=closed&sort=reason") == [cids[0], cids[1], cids[2]]
            assert listed("state=closed&sort=cid") == cids
            assert listed("state=open") == [open_cid]
            assert listed("state=any&sort=cid") == [*cids, open_cid]
            assert listed("state=any&user=free&sort=cid") == [*cids, open_cid]
            assert listed("state=any&user=anna") == []
            page = read(http_port, "/connz?state=any&limit=2&offset=1")
            assert (page["limit"], page["offset"], page["num_connections"]) == (2, 1, 2)
            assert page["total"] > 3
        assert get(http_port, "/connz?state=any&sort=reason")[0] == 400


def test_websocket_reasons(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", "--ws-port", "0", "--monitor-port", "0", "--token", "t")
    try:
        with WebWire(broker.ws_port, {"auth_token": "t"}) as wire:
            wire.ping()
        with WebWire(broker.ws_port, {"auth_token": "wrong"}) as wire:
            assert wire.closed()

        def reasons() -> list[tuple[str, str]]:
            page = read(monitor_port(broker), "/connz?state=closed&auth=1")
            return [(it["type"], it["reason"]) for it in page["connections"]]

        wait_until(lambda: len(reasons()) == 2)
        assert reasons() == [("websocket", "Client Closed"), ("websocket", "Authentication Failure")]
        assert json.loads(get(monitor_port(broker), "/varz")[2])["connections"] == 0
    finally:
        broker.end()


def record(cid: int, name: str = "") -> ConnectionRecord:
    counters = dict.fromkeys(
        ("started_ms", "active_ms", "rtt_ns", "pending_bytes", "in_messages", "out_messages"), 0
    )
    texts = dict.fromkeys(("lang", "version", "tls_version", "cipher", "user"), "")
    more = {"in_bytes": 0, "out_bytes": 0, "subscriptions": 0}
    return ConnectionRecord(cid=cid, type="nats", ip="::1", port=1, name=name, **counters, **texts, **more)


@pytest.mark.parametrize("name", ["", "n" * 256])
def test_only_the_last_records_are_kept(name: str) -> None:
    kept = ClosedConnections()
    for cid in range(MAX_CLOSED + 5):
        kept.add(record(cid, name))
    cids = [it.cid for it in kept]
    assert cids == list(range(MAX_CLOSED + 5 - len(cids), MAX_CLOSED + 5))
    assert sum(it.size for it in kept) <= MAX_CLOSED_BYTES
    assert len(cids) == min(MAX_CLOSED, MAX_CLOSED_BYTES // record(0, name).size)
