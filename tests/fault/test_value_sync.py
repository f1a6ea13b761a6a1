"""Values are durable with what points to them: after failed fsyncs, and after power cuts at any moment."""

import errno
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.storage.rocks_database import MEMTABLE_BYTES
from tests.fault.steady_load import ADDRESSES, Load
from tests.support.broker import Broker
from tests.support.data_directory import pretend_reboot
from tests.support.faults.shim import Shim
from tests.support.mailbox import fill_memtable, list_all, publish_many, read_stored, send_each
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

PAYLOAD_BYTES = 2000
LARGE = "x" * PAYLOAD_BYTES
# How often the power cuts are tried, each time at other moments; `make power-cuts` tries them 200 times.
ROUNDS = int(os.environ.get("MQ9FAST_TEST_POWER_CUTS", "1"))


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    """A shim that can cut the power."""
    return Shim(tmp_path, tmp_path / "data")


def cut_power(broker: Broker, shim: Shim) -> None:
    broker.kill()
    shim.cut_power(lose_names=True)
    pretend_reboot(broker.data_dir)


def test_failed_fsync_is_healed_by_a_new_file(start: Callable[..., Broker], shim: Shim) -> None:
    """The kernel counts the pages of a failed fsync as clean, so that the next fsync does not write them."""
    broker = start()
    with Wire(broker.port) as wire:
        send_each(broker.port, "box", 3, LARGE)
        (segment,) = broker.data_dir.glob("*.seg")
        before = segment.stat().st_ino
        with shim.failing("fsync", "*.seg", errno.EIO, most=1):
            assert wire.msg("box", "refused" + LARGE)["code"] == "store_unavailable"
        wait_until(lambda: "msg_id" in wire.msg("box", LARGE))
        assert segment.stat().st_ino != before
        stored = list_all(wire, "box")
        assert list(stored.values()) == [LARGE] * 4
    cut_power(broker, shim)
    broker.start()
    with Wire(broker.port) as wire:
        assert list_all(wire, "box") == stored


def test_full_disk_right_after_a_failed_fsync_does_not_hide_it(
    start: Callable[..., Broker], shim: Shim
) -> None:
    """A store that only had a full disk is not opened again. After a failed fsync it must be."""
    broker = start()
    with Wire(broker.port) as wire:
        send_each(broker.port, "box", 1, LARGE)
        (segment,) = broker.data_dir.glob("*.seg")
        before = segment.stat().st_ino
        with shim.failing("fsync", "*.seg", errno.EIO, wait=0.5, most=1) as fsync:
            wire.pub(f"{MAILBOX}MSG.box", LARGE)
            wait_until(lambda: fsync.seen)
            # So much is written while the fsync runs. This write begins before the fsync fails, and fails
            # after it.
            with shim.failing("write", "*.seg", errno.ENOSPC, wait=1.0, most=1) as write:
                publish_many(wire, "box", 20, b"x" * 100_000)
                wait_until(lambda: write.seen)
        wait_until(lambda: "msg_id" in wire.msg("box", LARGE))
        assert segment.stat().st_ino != before


@pytest.mark.parametrize("killed", [False, True], ids=["healed", "killed"])
def test_refused_messages_whose_pages_are_lost_are_dropped(
    start: Callable[..., Broker], shim: Shim, killed: bool
) -> None:
    broker = start()
    with Wire(broker.port) as wire:
        send_each(broker.port, "box", 3, LARGE)
        with shim.failing("fsync", "*.seg", errno.EIO):
            # The second message is in the same state: its row is written, and its value is lost.
            for address in ("box", "box.urgent"):
                assert wire.msg(address, LARGE)["code"] == "store_unavailable"
            shim.cut_power()
            if killed:
                broker.kill()
    if killed:
        broker.start()
    with Wire(broker.port) as wire:
        wait_until(lambda: "msg_id" in wire.msg("box", LARGE))
        stored = list_all(wire, "box")
        assert list(stored.values()) == [LARGE] * 4
        wait_until(lambda: not broker.health)
    for _ in range(2):
        broker.restart(kill=True)
        with Wire(broker.port) as wire:
            assert wire.list("box")["total"] == 4
            assert list_all(wire, "box") == stored


def test_lost_pages_of_acknowledged_messages_stop_the_broker(
    start: Callable[..., Broker], shim: Shim
) -> None:
    broker = start("--sync", "interval", "--sync-interval", "0.3")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        with shim.failing("fsync", "*.seg", errno.EIO) as rule:
            assert "msg_id" in wire.msg("box", LARGE)
            wait_until(lambda: rule.seen)
            shim.cut_power()
        wait_until(lambda: "values that were not durable are lost after a failed fsync" in broker.health)
        assert wire.msg("box", LARGE)["code"] == "store_unavailable"


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("mode", ["always", "interval", "never"])
def test_power_cut_at_any_moment_loses_nothing_durable(
    start: Callable[..., Broker], shim: Shim, mode: str, number: int
) -> None:
    moments = random.Random(f"power {mode} {number}")
    payload_bytes = moments.choice([PAYLOAD_BYTES, 20_000, 100_000]) if number else PAYLOAD_BYTES
    broker = start("--sync", mode, "--sync-interval", "0.05")
    durable: dict[str, dict[int, bytes]] = {address: {} for address in ADDRESSES}
    for cut in range(4):
        load = Load(broker, payload_bytes)
        if cut == 2:
            # Until a table with pointers is written.
            with Wire(broker.port) as wire:
                fill_memtable(wire, MEMTABLE_BYTES)
        time.sleep(moments.uniform(0.02, 0.3))
        for sender in load.senders:
            sender.ended = True
        cut_power(broker, shim)
        broker.start()
        for address in ADDRESSES:
            # Under `never`, the mailbox may be lost as well.
            send_each(broker.port, address, 0, "")
            stored = read_stored(broker.port, address)
            acknowledged = {
                msg_id: payload
                for sender in load.senders
                for (at, msg_id), payload in sender.acknowledged.items()
                if at == address
            }
            assert all(acknowledged.get(msg_id, payload) == payload for msg_id, payload in stored.items())
            assert durable[address].items() <= stored.items()
            if mode == "always":
                assert acknowledged.items() <= stored.items()
            # The start has synced what it found.
            durable[address] = stored
    assert durable["one"] or mode == "never"
