"""A query of /connz or /subsz selects the same entries on mq9fast and on nats-server."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.monitoring import get, monitor_port
from tests.support.nats_server import NATS_SERVER, NatsServer
from tests.support.wire_client import Wire

USERS = Path(__file__).parent.parent / "wire" / "users.toml"
CONNECTIONS = [("free", "a"), ("emma", "b"), ("free", "c")]
HUGE = 2**63 - 1
CONNZ = [
    *(
        "",
        "auth=1",
        "user=free",
        "user=free&auth=1",
        "user=nobody",
        "user=FREE",
        "user=",
        "user=free&limit=1",
    ),
    *("user=free&offset=1", "user=free&state=any", "user=free&state=closed"),
    *("user=emma&offset=1", "acc=$G", "acc=other", "acc=", "acc=$G&user=emma", "acc=other&user=emma"),
    *("mqtt_client=x", "mqtt_client=", "mqtt_client=x&user=free", "cid=999&user=free", "cid=999"),
    *("limit=-1", "limit=0", "limit=2", "limit=-99999999999", f"limit={HUGE}", f"limit={HUGE + 1}"),
    *("offset=-1", "offset=1", "offset=3", f"offset={HUGE}", f"offset={HUGE + 1}", "offset=-1&limit=-1"),
    *(f"offset={HUGE}&limit={HUGE}&sort=subs", f"limit={-HUGE - 1}", f"limit={-HUGE - 2}", "limit=1.5"),
    *("cid=0", "cid=-1", f"cid={2**64 - 1}", f"cid={2**64}"),
]
SUBSZ = [
    *("acc=other", "acc=other&subs=1", "subs=1&limit=-1&test=a", "subs=1&offset=-1&test=a", "subs=1&test=a"),
    *(f"subs=1&offset={HUGE}&test=a", f"subs=1&limit={HUGE}&test=a", f"subs=1&limit={HUGE}&offset=1&test=a"),
    *(f"subs=1&offset={HUGE + 1}", "subs=1&limit=-99999999999999999999"),
]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[int, int]]]:
    """Client port and monitoring port of mq9fast, and of nats-server if it is installed."""
    directory = tmp_path_factory.mktemp("filters")
    with ExitStack() as stack:
        ours = Broker(directory / "data", "--config", str(USERS), "--monitor-port", "0")
        stack.callback(ours.end)
        found = [(ours.port, monitor_port(ours))]
        if NATS_SERVER is not None:
            theirs = NatsServer(directory, {"config": str(USERS), "http": "127.0.0.1:-1"})
            stack.callback(theirs.end)
            http = re.search(r"http monitor on 127.0.0.1:(\d+)", theirs.log.read_text())
            assert http is not None
            found.append((theirs.port, int(http[1])))
        for port, _ in found:
            for user, name in CONNECTIONS:
                options = {"user": user, "pass": user, "name": name}
                wire = stack.enter_context(Wire(port, options))
                wire.sub("a")
                wire.ping()
        yield found


def selection(port: int, path: str) -> Any:
    """The counters, connections and number of subscriptions on a page; the status of an error."""
    status, _, body = get(port, path)
    if status != 200:
        return status
    page = json.loads(body)
    counters = [page.get(name) for name in ("num_connections", "total", "offset", "limit")]
    connections = [(it["name"], it.get("authorized_user")) for it in page.get("connections") or []]
    return counters, connections, len(page.get("subscriptions_list") or [])


@pytest.mark.parametrize("path", [f"/connz?{it}" for it in CONNZ] + [f"/subsz?{it}" for it in SUBSZ])
def test_query_selects_as_on_nats_server(ports: list[tuple[int, int]], path: str) -> None:
    if NATS_SERVER is None:
        pytest.skip("nats-server is not installed")
    ours, theirs = (selection(http, path) for _, http in ports)
    assert ours == theirs


def test_filters_that_match_no_connection(ports: list[tuple[int, int]]) -> None:
    for query in ("user=nobody", "acc=other", "mqtt_client=x"):
        assert selection(ports[0][1], f"/connz?{query}")[1] == []


def test_a_client_with_a_token_is_shown_as_redacted(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ours = Broker(tmp_path / "data", "--token", "s3cret", "--monitor-port", "0")
        stack.callback(ours.end)
        pages = [(ours.port, monitor_port(ours))]
        if NATS_SERVER is not None:
            theirs = NatsServer(tmp_path, {"token": "s3cret", "http": "127.0.0.1:-1"})
            stack.callback(theirs.end)
            http = re.search(r"http monitor on 127.0.0.1:(\d+)", theirs.log.read_text())
            assert http is not None
            pages.append((theirs.port, int(http[1])))
        for port, page in pages:
            with Wire(port, {"auth_token": "s3cret", "name": "x"}) as wire:
                wire.ping()
                assert selection(page, "/connz?auth=1")[1] == [("x", "[REDACTED]")]
                assert selection(page, "/connz?auth=1&user=[REDACTED]")[1] == [("x", "[REDACTED]")]
                assert selection(page, "/connz?auth=1&user=s3cret")[1] == []
