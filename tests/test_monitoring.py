"""The monitoring port as HTTP clients see it."""

import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Broker, Wire


def monitor_port(broker: Broker) -> int:
    found = re.search(r"monitoring on http://127.0.0.1:(\d+)", broker.log.read_text())
    assert found, broker.log.read_text()
    return int(found[1])


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.getheader("content-type", ""), body


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("monitored") / "data", "--monitor-port", "0")
    yield broker
    broker.end()


def metrics(port: int) -> dict[str, float]:
    text = get(port, "/metrics")[2].decode()
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}


def test_a_healthy_broker_says_so(monitored: Broker) -> None:
    assert get(monitor_port(monitored), "/healthz") == (200, "application/json", b'{"status":"ok"}')


def test_varz_has_the_names_of_nats_server_and_counts(monitored: Broker) -> None:
    port = monitor_port(monitored)
    before = json.loads(get(port, "/varz")[2])
    with Wire(monitored.port) as wire:
        wire.sub("a.*")
        wire.pub("a.b", "12345")
        assert wire.message().payload == b"12345"
        varz: dict[str, Any] = json.loads(get(port, "/varz")[2])
    assert varz["port"] == monitored.port
    assert varz["connections"] == before["connections"] + 1
    assert varz["subscriptions"] == before["subscriptions"] + 1
    assert varz["in_bytes"] - before["in_bytes"] == varz["out_bytes"] - before["out_bytes"] == 5
    assert varz["in_msgs"] - before["in_msgs"] == varz["out_msgs"] - before["out_msgs"] == 1
    assert varz["mem"] > 1_000_000
    assert {"server_id", "version", "uptime", "slow_consumers", "max_payload", "cores"} <= varz.keys()


def test_metrics_follow_mailboxes(monitored: Broker) -> None:
    port = monitor_port(monitored)
    before = metrics(port)
    with Wire(monitored.port) as wire:
        wire.create(name="metrics.box")
        wire.msg("metrics.box", b"x" * 100)
        wire.msg("metrics.box", b"y")
        wire.delete("metrics.box", 1)
        wire.pub("$mq9.AI.MAILBOX.MSG.nobody.here", b"lost")
        wire.ping()
        after = metrics(port)
    changes = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changes["mq9fast_mailboxes"] == 1
    assert changes["mq9fast_mailbox_messages"] == 1
    assert changes["mq9fast_mailbox_bytes"] == 100
    assert changes["mq9fast_mailbox_messages_accepted_total"] == 2
    assert changes["mq9fast_mailbox_messages_deleted_total"] == 1
    assert changes["mq9fast_mailbox_messages_dropped_total"] == 1


def test_head_unknown_paths_other_methods_and_garbage(monitored: Broker) -> None:
    port = monitor_port(monitored)
    assert get(port, "/varz", "HEAD")[0::2] == (200, b"")
    status, _, body = get(port, "/nothing")
    assert status == 404
    assert b"/healthz" in body
    assert get(port, "/varz", "POST")[0] == 405
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert get(port, "/healthz")[0] == 200


def test_no_private_address_is_shown(monitored: Broker) -> None:
    port = monitor_port(monitored)
    with Wire(monitored.port) as wire:
        address = wire.create()["mail_address"]
        wire.msg(address, b"hello")
    for path in ("/healthz", "/varz", "/metrics"):
        assert address not in get(port, path)[2].decode()


def test_the_default_port_in_use_is_a_warning_and_a_chosen_one_an_error(
    start_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    first = start_broker("--monitor-port", "0")
    taken = str(monitor_port(first))
    with pytest.raises(AssertionError, match=f"the monitoring port {taken} of 127.0.0.1 is in use"):
        start_broker("--monitor-port", taken)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 8222))
            holder.listen()
        except OSError:
            pass  # somebody else holds it, which serves as well
        broker = Broker(tmp_path / "default", monitor=True)
        try:
            assert "running without monitoring: the monitoring port 8222" in broker.log.read_text()
        finally:
            broker.end()


def test_each_limit_that_is_passed_is_counted(start_broker: Callable[..., Broker]) -> None:
    limits = ("--max-connections", "1", "--max-subscriptions", "2", "--max-mailboxes", "1")
    broker = start_broker("--monitor-port", "0", *limits, "--max-mailbox-messages", "1")
    port = monitor_port(broker)

    def passed(limit: str) -> float:
        return metrics(port)[f'mq9fast_limit_exceeded_total{{limit="{limit}"}}']

    kinds = ("connections", "subscriptions", "mailboxes", "messages")
    with Wire(broker.port) as wire:
        wire.create(name="only")
        wire.msg("only", "first")
        assert [passed(kind) for kind in kinds] == [0, 0, 0, 0]
        assert wire.msg("only", "second")["code"] == "limit_exceeded"
        assert wire.create(name="other")["code"] == "limit_exceeded"
        wire.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n")
        assert wire.line() == "-ERR 'maximum subscriptions exceeded'"
        with Wire(broker.port, connect=None) as refused:
            assert refused.closed()
        assert [passed(kind) for kind in kinds] == [1, 1, 1, 1]
    assert metrics(port)["mq9fast_store_healthy"] == 1
