"""/varz: counters of the broker, and what the process uses."""

import os
import re
import time

from tests.support.broker import Broker
from tests.support.monitoring import get, read
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire


def test_counters(monitored: Broker, port: int) -> None:
    before = read(port, "/varz")
    with Wire(monitored.port) as wire:
        wire.sub("a.*")
        wire.pub("a.b", "12345")
        assert wire.message().payload == b"12345"
        varz = read(port, "/varz")
    assert varz["port"] == monitored.port
    assert varz["connections"] == before["connections"] + 1
    assert varz["total_connections"] == before["total_connections"] + 1
    assert varz["subscriptions"] == before["subscriptions"] + 1
    assert varz["in_bytes"] - before["in_bytes"] == varz["out_bytes"] - before["out_bytes"] == 5
    assert varz["in_msgs"] - before["in_msgs"] == varz["out_msgs"] - before["out_msgs"] == 1
    assert varz["http_req_stats"]["/varz"] == before["http_req_stats"]["/varz"] + 1


def test_counters_include_closed_connections(monitored: Broker, port: int) -> None:
    wait_until(lambda: read(port, "/varz")["connections"] == 0)
    before = read(port, "/varz")
    with Wire(monitored.port) as wire:
        wire.send(
            "SUB a 1\r\nSUB b 2\r\nUNSUB 2 1\r\nSUB c 3\r\nUNSUB 3\r\nPUB a 2\r\nhi\r\nPUB b 2\r\nho\r\n"
        )
        wire.ping()
        assert read(port, "/varz")["subscriptions"] == before["subscriptions"] + 1
    wait_until(lambda: read(port, "/varz")["connections"] == 0)
    varz = read(port, "/varz")
    assert varz["subscriptions"] == before["subscriptions"]
    assert varz["out_msgs"] - before["out_msgs"] == 2
    assert varz["out_bytes"] - before["out_bytes"] == 4


def test_cpu_and_memory_of_the_process(monitored: Broker, port: int) -> None:
    with Wire(monitored.port) as wire:
        read(port, "/varz")
        # CPU usage is measured again after a second at the earliest.
        time.sleep(1.2)
        read(port, "/varz")
        began, before = time.monotonic(), monitored.cpu_seconds
        while time.monotonic() < began + 1.2:
            wire.send("PUB nobody 2\r\nhi\r\n" * 1000)
            wire.ping()
    varz = read(port, "/varz")
    percent = 100 * (monitored.cpu_seconds - before) / (time.monotonic() - began)
    assert percent / 2 < varz["cpu"] < percent * 2
    assert varz["cores"] == os.cpu_count()
    assert 1_000_000 < varz["mem"] < 1 << 30
    assert varz["http_port"] == port
    assert re.fullmatch(r"(\d+m)?\d+s", varz["uptime"])


def test_parameters_are_ignored(port: int) -> None:
    assert get(port, "/varz?mode=1&x=%")[0] == 200
