"""/connz: order, paging, filters, and the fields of a connection."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.machine import kernel_bytes
from tests.support.monitoring import monitor_port, read, refusal
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# The tests share this many connections. Connection N subscribes N times and sends N messages.
CLIENTS = 5
ORDERS = {
    "cid": [1, 2, 3, 4, 5],
    "start": [1, 2, 3, 4, 5],
    "subs": [5, 4, 3, 2, 1],
    "msgs_from": [5, 4, 3, 2, 1],
    "bytes_from": [5, 4, 3, 2, 1],
    "msgs_to": [1, 2, 3, 4, 5],
    "bytes_to": [1, 2, 3, 4, 5],
    "uptime": [5, 4, 3, 2, 1],
}


@pytest.fixture(scope="module")
def clients(monitored: Broker) -> Iterator[list[Wire]]:
    """The broker's connections 1 to 5."""
    with ExitStack() as stack:
        wires = []
        for number in range(1, CLIENTS + 1):
            # The broker pings a client that gives its language, and these clients do not answer.
            options = {"name": f"worker-{number}", "version": f"2.9.{number}"}
            options |= {"lang": "python3"} if number == 3 else {}
            wires.append(stack.enter_context(Wire(monitored.port, options)))
            for sid in range(number):
                wires[-1].sub(f"c{number}.{sid}", str(sid), queue="q" if sid == 1 else "")
            wires[-1].ping()
        for number, wire in enumerate(wires, 1):
            for _ in range(number):
                wire.pub(f"c{CLIENTS + 1 - number}.0", "12345")
            wire.ping()
        yield wires


def cids(page: dict[str, Any]) -> list[int]:
    return [connection["cid"] for connection in page["connections"]]


def test_page_lists_every_connection(clients: list[Wire], port: int) -> None:
    page = read(port, "/connz")
    assert cids(page) == [1, 2, 3, 4, 5]
    assert (page["num_connections"], page["total"], page["offset"], page["limit"]) == (5, 5, 0, 1024)
    assert page["server_id"] == read(port, "/varz")["server_id"]
    third = page["connections"][2]
    assert (third["kind"], third["type"]) == ("Client", "nats")
    assert (third["ip"], third["port"]) == clients[2].socket.getsockname()
    assert (third["in_msgs"], third["in_bytes"], third["out_msgs"], third["out_bytes"]) == (3, 15, 3, 15)
    assert (third["subscriptions"], third["pending_bytes"]) == (3, 0)
    assert (third["name"], third["lang"], third["version"]) == ("worker-3", "python3", "2.9.3")
    assert TIME.fullmatch(third["start"]) and TIME.fullmatch(third["last_activity"])
    assert page["now"] >= third["last_activity"] >= third["start"]
    assert re.fullmatch(r"\d+s", third["uptime"]) and re.fullmatch(r"\d+s", third["idle"])
    assert "subscriptions_list" not in third and "tls_version" not in third


@pytest.mark.parametrize("sort", ORDERS)
def test_sort_order(clients: list[Wire], port: int, sort: str) -> None:
    assert cids(read(port, f"/connz?sort={sort}")) == ORDERS[sort]


@pytest.mark.parametrize("sort", ["pending", "last", "idle", "rtt"])
def test_other_sort_orders_list_every_connection(clients: list[Wire], port: int, sort: str) -> None:
    assert sorted(cids(read(port, f"/connz?sort={sort}"))) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("sort", ["cid", "subs"])
@pytest.mark.parametrize(
    ("offset", "limit", "selected"),
    [(0, 2, slice(2)), (2, 2, slice(2, 4)), (4, 9, slice(4, 5)), (5, 1, slice(0))],
)
def test_offset_and_limit(
    clients: list[Wire], port: int, sort: str, offset: int, limit: int, selected: slice
) -> None:
    page = read(port, f"/connz?sort={sort}&offset={offset}&limit={limit}")
    assert cids(page) == ORDERS[sort][selected]
    assert (page["offset"], page["limit"], page["total"]) == (offset, limit, 5)
    assert page["num_connections"] == len(ORDERS[sort][selected])


def test_limit_0_is_the_default(clients: list[Wire], port: int) -> None:
    assert read(port, "/connz?limit=0")["limit"] == 1024


def test_one_connection_by_cid(clients: list[Wire], port: int) -> None:
    page = read(port, "/connz?cid=4")
    assert (cids(page), page["num_connections"], page["total"], page["limit"]) == ([4], 1, 5, 1)
    assert cids(read(port, "/connz?cid=400")) == []


@pytest.mark.parametrize("yes", ["1", "true", "True"])
def test_subs_lists_subjects(clients: list[Wire], port: int, yes: str) -> None:
    entry = read(port, f"/connz?subs={yes}&cid=2")["connections"][0]
    assert entry["subscriptions_list"] == ["c2.0", "c2.1"]
    assert "subscriptions_list" not in read(port, "/connz?subs=0&cid=2")["connections"][0]


def test_subs_detail_lists_every_field(clients: list[Wire], port: int) -> None:
    clients[1].send("UNSUB 1 7\r\n")
    clients[1].ping()
    details = read(port, "/connz?subs=detail&cid=2")["connections"][0]["subscriptions_list_detail"]
    assert details == [
        {"subject": "c2.0", "sid": "0", "msgs": 4, "cid": 2},
        {"subject": "c2.1", "sid": "1", "msgs": 0, "cid": 2, "qgroup": "q", "max": 7},
    ]


def test_state_closed_is_empty(clients: list[Wire], port: int) -> None:
    for state in ("open", "any", "all", ""):
        assert len(cids(read(port, f"/connz?state={state}"))) == CLIENTS
    for sort in ("cid", "stop", "reason", "subs"):
        closed = read(port, f"/connz?state=closed&sort={sort}")
        assert (closed["connections"], closed["total"]) == ([], 0)


@pytest.mark.parametrize(
    "query",
    [
        "sort=age",
        "sort=stop",
        "sort=reason",
        "limit=x",
        "limit=1.5",
        "offset=0x1",
        "cid=-1",
        "cid=one",
        "subs=2",
        "subs=details",
        "auth=maybe",
        "state=gone",
        "limit=" + "9" * 40,
    ],
)
def test_error_names_the_wrong_parameter(clients: list[Wire], port: int, query: str) -> None:
    name = query.partition("=")[0]
    assert refusal(port, f"/connz?{query}").startswith(f"The parameter {name} ")


def test_rtt_is_shown_once_measured_and_never_for_a_client_without_language(
    monitored: Broker, port: int, clients: list[Wire]
) -> None:
    with Wire(monitored.port, {"lang": "python3"}) as wire, Wire(monitored.port) as plain:
        wire.ping()
        plain.ping()
        cid, plain_cid = wire.info["client_id"], plain.info["client_id"]
        assert "rtt" not in read(port, f"/connz?cid={cid}")["connections"][0]
        read(port, "/connz")
        assert wire.line() == "PING"
        wire.send("PONG\r\nPONG\r\n")
        wire.ping()
        rtt = read(port, f"/connz?cid={cid}")["connections"][0]["rtt"]
        assert re.fullmatch(r"\d+(\.\d+)?(µs|ms|s)", rtt)
        plain.ping()
        assert "rtt" not in read(port, f"/connz?cid={plain_cid}")["connections"][0]


def test_last_activity_counts_messages_and_subscriptions_but_no_pings(monitored: Broker, port: int) -> None:
    with Wire(monitored.port) as sender, Wire(monitored.port) as reader:
        reader.sub("activity.x")
        reader.ping()

        def active(wire: Wire) -> str:
            entry = read(port, f"/connz?cid={wire.info['client_id']}")["connections"][0]
            return str(entry["last_activity"])

        begun, idle = active(reader), active(sender)
        time.sleep(0.6)
        sender.ping()
        reader.ping()
        assert (active(reader), active(sender)) == (begun, idle)
        sender.pub("activity.x")
        reader.message()
        assert active(reader) > begun
        assert active(sender) > idle
        after = active(reader)
        time.sleep(0.6)
        reader.send("UNSUB 1\r\n")
        reader.ping()
        assert active(reader) > after


def test_pending_bytes_of_a_client_that_does_not_read(monitored: Broker, port: int) -> None:
    with Wire(monitored.port) as sender, Wire(monitored.port, receive_bytes=4096) as slow:
        slow.sub("pending.x")
        slow.ping()
        for _ in range(kernel_bytes() // 100_000 + 20):
            sender.pub("pending.x", b"x" * 100_000)
        sender.ping()
        first = read(port, "/connz?sort=pending&limit=1")["connections"][0]
        assert first["cid"] == slow.info["client_id"]
        assert 100_000 < first["pending_bytes"] < kernel_bytes() + 2_500_000


def test_unprintable_names_and_subjects_are_replaced(monitored: Broker, port: int) -> None:
    odd = {"name": "\x1b[2J\u202e" + "n" * 3000, "lang": "l" * 500 + "\n", "version": "\x00v"}
    with Wire(monitored.port, odd) as wire:
        wire.ping()
        wire.send(b"SUB \x1b[2J.\xff\xfe 1\r\n")
        wire.ping()
        entry = read(port, f"/connz?subs=1&cid={wire.info['client_id']}")["connections"][0]
    assert entry["name"] == "\ufffd[2J\ufffd" + "n" * 251
    assert (entry["lang"], entry["version"]) == ("l" * 64, "\ufffdv")
    assert entry["subscriptions_list"] == ["\ufffd[2J.\ufffd\ufffd"]


def test_sort_of_a_thousand_connections(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--monitor-port", "0")
    port = monitor_port(broker)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(broker.port)) for _ in range(1200)]
        for number, wire in enumerate(wires):
            wire.send("".join(f"SUB s {sid}\r\n" for sid in range(number % 7)))
            wire.ping()
        page = read(port, "/connz?sort=subs&limit=1000&offset=100")
        subscribed = [connection["subscriptions"] for connection in page["connections"]]
        assert subscribed == sorted((number % 7 for number in range(1200)), reverse=True)[100:1100]
        assert len(set(cids(page))) == 1000
    wait_until(lambda: read(port, "/connz")["total"] == 0)


def test_auth_shows_the_user_name(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--monitor-port", "0", "--user", "planner", "--password", "secret")
    port = monitor_port(broker)
    with Wire(broker.port, {"user": "planner", "pass": "secret"}) as wire, Wire(broker.port, None):
        wire.ping()
        known, unknown = read(port, "/connz?auth=1")["connections"]
        assert known["authorized_user"] == "planner"
        assert "authorized_user" not in unknown
        assert "authorized_user" not in read(port, "/connz")["connections"][0]
        # A user name that is also a private address is masked.
        wire.create(name="planner")
        assert read(port, "/connz?auth=1&limit=1")["connections"][0]["authorized_user"] == "p\u2026"
    text = str(read(port, "/varz")) + str(read(port, "/connz?auth=1&subs=detail"))
    assert "secret" not in text


def test_auth_shows_no_token(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker("--monitor-port", "0", "--token", "very-secret")
    with Wire(broker.port, {"auth_token": "very-secret"}) as wire:
        wire.ping()
        entries = read(monitor_port(broker), "/connz?auth=1")["connections"]
    assert entries[0]["authorized_user"] == "[REDACTED]"
    assert "very-secret" not in str(entries)
