"""Segments of the value log fail: what was acknowledged is kept, and the broker recovers by itself."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault.steady_load import ADDRESSES, Load
from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.mailbox import list_all, read_stored
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

MODES = ("always", "interval", "never")
# Every row of such messages goes to the value log.
PAYLOAD_BYTES = 2000
LARGE = "x" * PAYLOAD_BYTES
# What a sender of Load has in flight is then enough for the thread that writes large values.
IN_THREAD_BYTES = 20_000

Start = Callable[..., Broker]


@pytest.mark.parametrize(
    ("mode", "payload_bytes"), [*((mode, PAYLOAD_BYTES) for mode in MODES), ("interval", IN_THREAD_BYTES)]
)
@pytest.mark.parametrize(
    ("call", "error"),
    [("write", errno.EIO), ("write", errno.ENOSPC), ("fsync", errno.EIO)],
    ids=["write-eio", "write-enospc", "fsync-eio"],
)
def test_broker_recovers_from_one_failure_of_a_segment(
    start: Start, shim: Shim, call: str, error: int, mode: str, payload_bytes: int
) -> None:
    if (call, mode) == ("fsync", "never"):
        pytest.skip("there are no fsyncs")
    broker = start("--sync", mode, "--sync-interval", "0.05")
    load = Load(broker, payload_bytes)
    with shim.failing(call, "*.seg", error, most=1) as rule:
        wait_until(lambda: rule.seen > 0)
        load.wait_until_refused()
        wait_until(lambda: "values-00000001.seg" in broker.health)
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()
    assert not list(broker.data_dir.glob("*.tmp"))


@pytest.mark.parametrize(
    ("call", "error"),
    [("write", errno.EIO), ("write", errno.ENOSPC), ("fsync", errno.EIO)],
    ids=["write-eio", "write-enospc", "fsync-eio"],
)
def test_broker_recovers_after_segments_failed_for_a_while(
    start: Start, shim: Shim, call: str, error: int
) -> None:
    broker = start()
    load = Load(broker, PAYLOAD_BYTES)
    # The copy of a segment fails as well.
    with shim.failing(call, "values-*", error):
        load.wait_until_refused()
        # Long enough for two attempts to reopen the store.
        time.sleep(2.5)
        assert "values-" in broker.health
        with Wire(broker.port) as wire:
            # A store that must be opened again cannot be read meanwhile.
            assert "messages" in wire.list("one", limit=1) or call == "fsync"
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    load.check()


@pytest.mark.parametrize("call", ["open", "write"])
def test_first_segment_that_cannot_be_created_is_created_later(start: Start, shim: Shim, call: str) -> None:
    broker = start()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        with shim.failing(call, "*.seg", errno.EMFILE) as rule:
            assert wire.msg("box", LARGE)["code"] == "store_unavailable"
            assert rule.seen
            wait_until(lambda: "Too many open files" in broker.health)
        wait_until(lambda: "msg_id" in wire.msg("box", LARGE))
        wait_until(lambda: not broker.health)
        stored = list_all(wire, "box")
        assert stored
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list_all(wire, "box") == stored


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["enospc", "eio"])
def test_segment_whose_first_batch_fails_is_kept_once_it_has_values(
    start: Start, shim: Shim, error: int
) -> None:
    """The row of the segment was in that batch. A later batch must write it."""
    broker = start("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        with shim.failing("write", "*.log", error, most=1):
            assert wire.msg("box", LARGE)["code"] == "store_unavailable"
        wait_until(lambda: "msg_id" in wire.msg("box", "small"))
        assert "msg_id" in wire.msg("box", LARGE)
        stored = list_all(wire, "box")
    for kill in (True, False):
        broker.restart(kill=kill)
        with Wire(broker.port) as wire:
            assert list_all(wire, "box") == stored


def delete(segment: Path) -> None:
    segment.unlink()


def move(segment: Path) -> None:
    segment.rename(segment.with_name("moved"))


def replace(segment: Path) -> None:
    other = segment.with_name("other")
    other.write_bytes(segment.read_bytes()[:-1000])
    other.replace(segment)


@pytest.mark.parametrize("mode", ["always", "interval"])
@pytest.mark.parametrize("lose", [delete, move, replace])
def test_broker_restores_a_segment_that_somebody_deleted(
    start: Start, lose: Callable[[Path], None], mode: str
) -> None:
    broker = start("--sync", mode, "--sync-interval", "0.05")
    load = Load(broker, PAYLOAD_BYTES)
    lose(max(broker.data_dir.glob("*.seg")))
    load.wait_until_refused()
    load.wait_until_accepted()
    wait_until(lambda: not broker.health)
    assert ".seg was deleted from the data directory" in broker.log.read_text()
    load.check()


def test_messages_of_a_lost_file_are_unreadable_until_it_is_back(start: Start) -> None:
    broker = start()
    with Wire(broker.port) as wire:
        for address in ADDRESSES:
            wire.create(name=address)
            assert "msg_id" in wire.msg(address, LARGE)
            assert "msg_id" in wire.msg(address, "small")
    broker.restart()
    (segment,) = broker.data_dir.glob("*.seg")
    moved = segment.with_name("moved")
    segment.rename(moved)
    with Wire(broker.port) as wire:
        assert wire.list("one")["code"] == "store_unavailable"
        wait_until(lambda: segment.name in broker.health)
        # Other messages are accepted meanwhile.
        assert "msg_id" in wire.msg("one", LARGE)
        wire.subscribe("two")
        moved.rename(segment)
        assert [wire.message().payload.decode() for _ in range(2)] == [LARGE, "small"]
        wait_until(lambda: not broker.health)
    assert [payload.decode() for payload in read_stored(broker.port, "one").values()] == [
        LARGE,
        "small",
        LARGE,
    ]
