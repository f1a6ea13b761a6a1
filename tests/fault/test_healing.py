"""Storage fails once or for a while. The broker keeps what it acknowledged, drops what it refused, and
recovers by itself."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.storage.rocks_database import MEMTABLE_BYTES
from tests.fault.steady_load import Load
from tests.support.broker import Broker
from tests.support.faults.shim import Rule, Shim
from tests.support.mailbox import fill_memtable, publish_many
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

MODES = ("always", "interval", "never")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("call", "pattern", "error"),
    [
        ("write", "*.log", errno.EIO),
        ("write", "*.log", errno.ENOSPC),
        ("fsync", "*.log", errno.EIO),
        ("write", "*/mq9fast.state", errno.EIO),
    ],
    ids=["write-eio", "write-enospc", "fsync-eio", "state-eio"],
)
def test_broker_recovers_from_one_failure_of_the_log_or_state_file(
    start: Callable[..., Broker], shim: Shim, call: str, pattern: str, error: int, mode: str
) -> None:
    if (call, mode) == ("fsync", "never"):
        pytest.skip("there are no fsyncs")
    broker = start("--sync", mode, "--sync-interval", "0.05")
    load = Load(broker)
    with shim.failing(call, pattern, error, most=1) as rule:
        wait_until(lambda: rule.seen > 0)
        load.wait_until_refused()
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()
    if (call, mode) == ("fsync", "always"):
        line = "stored rows of refused messages"
        wait_until(lambda: line in broker.log.read_text())


@pytest.mark.parametrize("mode", ["always", "never"])
@pytest.mark.parametrize(
    ("call", "pattern", "error"),
    [("write", "*.sst", errno.EIO), ("fsync", "*.sst", errno.EIO), ("open", "*.sst", errno.EMFILE)],
    ids=["write-eio", "fsync-eio", "open-emfile"],
)
def test_broker_recovers_from_one_failure_of_a_flush(
    start: Callable[..., Broker], shim: Shim, call: str, pattern: str, error: int, mode: str
) -> None:
    broker = start("--sync", mode)
    load = Load(broker)
    with shim.failing(call, pattern, error, most=1) as rule, Wire(broker.port) as wire:
        fill_memtable(wire, MEMTABLE_BYTES)
        wait_until(lambda: rule.seen > 0)
        load.wait_until_refused()
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()


def test_broker_recovers_after_storage_failed_for_a_while(start: Callable[..., Broker], shim: Shim) -> None:
    """Writing and opening fail: stored messages stay readable, and the broker recovers without a restart."""
    broker = start()
    load = Load(broker)
    rules: list[Rule] = [shim.fail(call, "*/data/*", errno.EIO) for call in ("write", "fsync", "open")]
    load.wait_until_refused()
    # Long enough for two attempts to reopen the store, which fail.
    time.sleep(2.5)
    assert "the store does not accept writes" in broker.health
    with Wire(broker.port) as wire:
        assert wire.list("one", limit=1)["messages"]
        assert wire.create(name="three")["code"] == "store_unavailable"
    for rule in rules:
        rule.end()
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()


def test_clients_are_served_while_the_store_is_reopened(start: Callable[..., Broker], shim: Shim) -> None:
    broker = start("--sync", "never")
    with Wire(broker.port) as wire, Wire(broker.port) as other:
        wire.create(name="box")
        publish_many(wire, "box", 100, b"x")
        # So much log is replayed in a process of its own.
        fill_memtable(wire, 10 << 20)
        stored = wire.list("box", limit=1)["total"]
        slow, seconds, longest = shim.fail("fsync", "*.sst", wait=4.0, most=1), 4.0, 0.0
        with shim.failing("write", "*.log", errno.EIO, most=1):
            assert wire.msg("box", "refused")["code"] == "store_unavailable"
        while not slow.seen or "code" in wire.create(name="box"):
            began = time.monotonic()
            other.ping()
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.01)
        assert longest < seconds / 2
        assert wire.list("box", limit=1)["total"] == stored == 100


def test_failed_background_flush_is_noticed_without_a_write(start: Callable[..., Broker], shim: Shim) -> None:
    broker = start("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        # The broker flushes memtables after two seconds without a write.
        fill_memtable(wire, 10 << 20)
        with shim.failing("write", "*.sst", errno.EIO, most=1) as rule:
            wait_until(lambda: rule.seen > 0)
            wait_until(lambda: "the store does not accept writes" in broker.health)
        wait_until(lambda: not broker.health)
        assert "msg_id" in wire.msg("box", "again")


@pytest.mark.parametrize("mode", MODES)
def test_broker_recovers_when_its_directory_comes_back(
    start: Callable[..., Broker], tmp_path: Path, mode: str
) -> None:
    broker = start("--sync", mode)
    load = Load(broker)
    data, moved = tmp_path / "data", tmp_path / "elsewhere"
    data.rename(moved)
    load.wait_until_refused()
    wait_until(lambda: "gone" in broker.health)
    # The broker does not use an empty directory in its place.
    data.mkdir()
    # Long enough for one attempt to reopen the store, which fails.
    time.sleep(1.5)
    assert "another directory" in broker.health
    assert not any(data.iterdir())
    data.rmdir()
    moved.rename(data)
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()


@pytest.mark.parametrize("what", ["*", "*.log", "CURRENT"])
def test_messages_are_refused_after_files_were_deleted(
    start: Callable[..., Broker], tmp_path: Path, what: str
) -> None:
    broker = start()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        assert wire.msg("box", "first") == {"msg_id": 0}
        for path in (tmp_path / "data").glob(what):
            path.unlink()
        for _ in range(10):
            assert wire.msg("box", "lost").get("code") == "store_unavailable"
        wait_until(lambda: "deleted from the data directory" in broker.health)
    wait_until(lambda: "messages are refused: the store does not accept writes" in broker.log.read_text())


@pytest.mark.parametrize(
    ("call", "pattern"),
    [("write", "*/data/*"), ("fsync", "*/data/*"), ("open", "*/data/*"), ("read", "*.sst")],
)
def test_broker_with_failing_storage_stops(
    start: Callable[..., Broker], shim: Shim, call: str, pattern: str
) -> None:
    broker = start()
    load = Load(broker)
    with shim.failing(call, pattern, errno.EIO), shim.failing("write", "*.log", errno.EIO, skip=50, most=1):
        load.wait_until_refused()
        # Meanwhile the broker tries to reopen the store.
        time.sleep(1.2)
        began = time.monotonic()
        for sender in load.senders:
            sender.ended = True
        assert broker.stop() == 0
        assert time.monotonic() - began < WAIT_SECONDS / 3
