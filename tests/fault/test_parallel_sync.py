"""Threads fsync the value log and RocksDB's log at the same time: a failure of either refuses the group."""

import errno
import time
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.mailbox import list_all, send_each
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

LARGE = "x" * 2000
SEGMENTS, LOG = "values-*.seg", "*.log"
SLOW_SECONDS = 1.0
# Once a second one thread syncs everything in turn.
ATTEMPTS = 6

Start = Callable[..., Broker]


def log_first_by(wire: Wire, shim: Shim) -> float:
    """How many seconds before the end of a slow fsync of the value log that of RocksDB's log was seen."""
    with shim.failing("fsync", SEGMENTS, wait=SLOW_SECONDS) as slow, shim.failing("fsync", LOG) as log:
        wire.pub(f"{MAILBOX}MSG.box", LARGE.encode(), "in")
        wait_until(lambda: slow.seen and log.seen)
        seen_at = time.monotonic()
        assert "msg_id" in wire.message().json
        return time.monotonic() - seen_at


def test_neither_log_waits_for_the_other(start: Start, shim: Shim) -> None:
    broker = start()
    send_each(broker.port, "box", 3, LARGE)
    with Wire(broker.port) as wire:
        wire.sub("in", "1")
        assert any(log_first_by(wire, shim) > SLOW_SECONDS / 2 for _ in range(ATTEMPTS))


@pytest.mark.parametrize("failing", [SEGMENTS, LOG, "*.[sl][eo]g"], ids=["values", "log", "both"])
def test_failed_fsync_refuses_the_group(start: Start, shim: Shim, failing: str) -> None:
    broker = start()
    send_each(broker.port, "box", 3, LARGE)
    with Wire(broker.port) as wire:
        with shim.failing("fsync", failing, errno.EIO):
            assert wire.msg("box", "refused" + LARGE)["code"] == "store_unavailable"
            assert wire.msg("box", LARGE)["code"] == "store_unavailable"
        wait_until(lambda: "msg_id" in wire.msg("box", LARGE))
        stored = list_all(wire, "box")
        assert list(stored.values()) == [LARGE] * 4
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list_all(wire, "box") == stored


def test_groups_are_synced_without_threads(start: Start, shim: Shim) -> None:
    broker = start()
    saved = (broker.data_dir / "mq9fast.clock").stat().st_mtime_ns
    # The thread that saves the time runs from then on.
    wait_until(lambda: (broker.data_dir / "mq9fast.clock").stat().st_mtime_ns != saved)
    with shim.failing("thread", "*", errno.EAGAIN) as rule:
        send_each(broker.port, "box", 5, LARGE)
        assert rule.seen
    with Wire(broker.port) as wire:
        assert len(list_all(wire, "box")) == 5
