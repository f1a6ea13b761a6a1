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
    MAX_LIST_BYTES,
    MAX_LISTS_BYTES,
    ClosedConnections,
    ClosedSubscription,
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
    changing = {"cid", "port", "start", "stop", "last_activity", "uptime", "idle", "subscriptions"}
    # nats-server may have a PING for the client that it did not write yet.
    changing.add("pending_bytes")
    same = [{name: it for name, it in page.items() if name not in changing} for page in pages]
    for one in same:
        assert one == same[0]
    assert all(page.keys() == pages[0].keys() for page in pages)
    assert (pages[0]["authorized_user"], pages[0]["in_msgs"], pages[0]["out_bytes"]) == ("free", 1, 1)


def test_subscriptions_are_listed(ports: Ports) -> None:
    found = []
    for port, http_port in ports:
        with Wire(port, {**FREE, "name": "subscriber"}) as wire:
            wire.sub("a.>", "s1")
            wire.sub("b.*", "s2", queue="workers")
            wire.send("UNSUB s1 9\r\n")
            wire.pub("a.b", "x")
            wire.message()
            cid = int(wire.info["client_id"])
        wait_until(lambda cid=cid, http_port=http_port: closed(http_port, cid))
        (plain,) = closed(http_port, cid)
        assert plain["subscriptions"] == 2 and "subscriptions_list" not in plain
        (listed,) = closed(http_port, cid, "&subs=1")
        (detailed,) = closed(http_port, cid, "&subs=detail")
        details = sorted(detailed["subscriptions_list_detail"], key=lambda it: it["sid"])
        kept = ("subject", "sid", "msgs", "max", "qgroup")
        shown = [{name: it.get(name) for name in kept} for it in details]
        assert all(it["cid"] == cid for it in details)
        found.append((sorted(listed["subscriptions_list"]), shown))
    for one in found:
        assert one == found[0]
    assert found[0][0] == ["a.>", "b.*"]
    assert found[0][1][0] == {"subject": "a.>", "sid": "s1", "msgs": 1, "max": None, "qgroup": None}


def test_private_addresses_of_ended_subscriptions_are_masked(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", "--monitor-port", "0")
    try:
        with Wire(broker.port) as wire:
            secret = wire.create()["mail_address"]
            wire.create(name="board", public=True)
            for sid, subject in enumerate(
                (f"MSG.{secret}.urgent", f"EVENT.{secret}", "MSG.board", "MSG.none")
            ):
                wire.sub(f"$mq9.AI.MAILBOX.{subject}", str(sid))
            wire.sub(secret, "plain")
            wire.ping()
            cid = int(wire.info["client_id"])
        http_port = monitor_port(broker)
        wait_until(lambda: closed(http_port, cid))
        for query in ("&subs=1", "&subs=detail"):
            text = get(http_port, f"/connz?state=closed&cid={cid}{query}")[2].decode()
            assert secret not in text
        (listed,) = closed(http_port, cid, "&subs=1")
        start = secret[:8] + "\u2026"
        prefix = "$mq9.AI.MAILBOX."
        subjects = [f"{prefix}MSG.{start}.urgent", f"{prefix}EVENT.{start}", f"{prefix}MSG.board"]
        assert listed["subscriptions_list"] == [*subjects, f"{prefix}MSG.n\u2026", start]
    finally:
        broker.end()


def test_list_of_many_subscriptions_is_cut(ports: Ports) -> None:
    port, http_port = ports[0]
    with Wire(port, FREE) as wire:
        wire.send("".join(f"SUB a.{number} {number}\r\n" for number in range(1000)))
        wire.ping()
        cid = int(wire.info["client_id"])
    wait_until(lambda: closed(http_port, cid))
    (listed,) = closed(http_port, cid, "&subs=1")
    assert listed["subscriptions"] == 1000
    assert 100 < len(listed["subscriptions_list"]) < MAX_LIST_BYTES // 256


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


def test_only_the_last_lists_of_subscriptions_are_kept() -> None:
    kept = ClosedConnections()
    for cid in range(100):
        added = record(cid)
        added.ended_subscriptions = [ClosedSubscription("s" * 15_000, "", "1", "", 0)]
        kept.add(added)
    size = added.ended_subscriptions[0].size
    with_lists = [it.cid for it in kept if it.ended_subscriptions]
    assert len(kept) == 100
    assert with_lists == list(range(100 - MAX_LISTS_BYTES // size, 100))
    for cid in range(100, 100 + MAX_CLOSED):
        kept.add(record(cid))
    assert not any(it.ended_subscriptions for it in kept)
    added.ended_subscriptions = [ClosedSubscription("s", "", "1", "", 0)]
    kept.add(added)
    assert [it.cid for it in kept if it.ended_subscriptions] == [99]


@pytest.mark.parametrize("name", ["", "n" * 256])
def test_only_the_last_records_are_kept(name: str) -> None:
    kept = ClosedConnections()
    for cid in range(MAX_CLOSED + 5):
        kept.add(record(cid, name))
    cids = [it.cid for it in kept]
    assert cids == list(range(MAX_CLOSED + 5 - len(cids), MAX_CLOSED + 5))
    assert sum(it.size for it in kept) <= MAX_CLOSED_BYTES
    assert len(cids) == min(MAX_CLOSED, MAX_CLOSED_BYTES // record(0, name).size)
