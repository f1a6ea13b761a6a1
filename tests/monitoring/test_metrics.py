"""/metrics: what is counted, under which names and labels."""

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.monitoring.pages.metrics import free_bytes
from tests.support.broker import Broker
from tests.support.monitoring import get, metrics, monitor_port
from tests.support.wire_client import Wire


def test_mailbox_metrics(monitored: Broker, port: int) -> None:
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
    assert changes["mq9fast_sync_seconds_count"] >= 4
    assert 0 < changes["mq9fast_sync_seconds_sum"] < 60


def test_clients_cannot_add_metrics_or_labels(monitored: Broker, port: int) -> None:
    names = set(metrics(port))
    with Wire(monitored.port, {"name": "label"}) as wire:
        for number in range(50):
            wire.sub(f"subject.{number}", str(number), queue=f"queue{number}")
            wire.create(name=f"label.box{number}", public=True)
        assert set(metrics(port)) == names
    assert {name for name in names if "{" in name} == {
        f'mq9fast_limit_exceeded_total{{limit="{limit}"}}'
        for limit in ("connections", "subscriptions", "mailboxes", "messages")
    }


def test_process_metrics_have_the_usual_names(port: int) -> None:
    values = metrics(port)
    assert values["process_cpu_seconds_total"] > 0
    assert values["process_resident_memory_bytes"] > 1_000_000
    assert values["process_start_time_seconds"] > 1_700_000_000
    text = get(port, "/metrics")[2].decode()
    assert re.findall(r"^# TYPE (\w+) untyped", text, re.MULTILINE) == []


def test_requests_past_each_limit_are_counted(start_broker: Callable[..., Broker]) -> None:
    limits = ("--max-connections", "1", "--max-subscriptions", "2", "--max-mailboxes", "1")
    broker = start_broker("--monitor-port", "0", *limits, "--max-mailbox-messages", "1")
    port = monitor_port(broker)

    def exceeded(limit: str) -> float:
        return metrics(port)[f'mq9fast_limit_exceeded_total{{limit="{limit}"}}']

    kinds = ("connections", "subscriptions", "mailboxes", "messages")
    with Wire(broker.port) as wire:
        wire.create(name="only")
        wire.msg("only", "first")
        assert [exceeded(kind) for kind in kinds] == [0, 0, 0, 0]
        assert wire.msg("only", "second")["code"] == "limit_exceeded"
        assert wire.create(name="other")["code"] == "limit_exceeded"
        wire.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n")
        assert wire.line() == "-ERR 'maximum subscriptions exceeded'"
        with Wire(broker.port, connect=None) as refused:
            assert refused.closed()
        assert [exceeded(kind) for kind in kinds] == [1, 1, 1, 1]
    assert metrics(port)["mq9fast_store_healthy"] == 1


def test_free_disk_space(monitored: Broker, port: int, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert metrics(port)["mq9fast_disk_free_bytes"] == pytest.approx(free, rel=0.5)
    assert math.isnan(free_bytes(tmp_path / "gone"))
