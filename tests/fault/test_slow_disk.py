"""A disk that is slower than the senders: under `interval` they wait for it, not the whole broker."""

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

MIB = 1 << 20
LARGE = "x" * 50_000
COUNT = 400
# As MAX_UNSYNCED_BYTES of the broker below.
MAX_UNSYNCED = 4 * MIB
# One read, and what the kernel and the client had in flight.
SLACK = 6 * MIB
PROGRAM = f"""
import sys
from mq9fast.commit import interval_sync
from mq9fast.__main__ import main
interval_sync.MAX_UNSYNCED_BYTES = {MAX_UNSYNCED}
sys.exit(main())
"""


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    return Shim(tmp_path)


@pytest.fixture
def broker(tmp_path: Path, shim: Shim) -> Iterator[Broker]:
    broker = Broker(
        tmp_path / "data",
        *("--sync", "interval", "--sync-interval", "0.1"),
        env=shim.env,
        command=(sys.executable, "-c", PROGRAM),
    )
    yield broker
    broker.end()


def test_senders_of_large_messages_wait_for_the_disk(broker: Broker, shim: Shim) -> None:
    with Wire(broker.port) as wire, Wire(broker.port) as other:
        wire.create(name="box")
        wire.sub("acks")
        wire.ping()
        frames = f"PUB {MAILBOX}MSG.box acks {len(LARGE)}\r\n{LARGE}\r\n".encode() * COUNT
        # Each fsync waits.
        with shim.failing("fsync", "*.seg", wait=5) as fsync:
            sent = send_while_taken(wire.socket, frames)
            assert fsync.seen
            stored = other.list("box", limit=1)["total"]
            assert MAX_UNSYNCED < stored * len(LARGE) < MAX_UNSYNCED + SLACK
            # Small messages need no value log, and go on.
            assert "msg_id" in other.msg("box", "small")
        wire.socket.setblocking(True)
        wire.socket.sendall(frames[sent:])
        wait_until(lambda: other.list("box", limit=1)["total"] == COUNT + 1)


def send_while_taken(connection: socket.socket, frames: bytes) -> int:
    """Send until nothing has been taken for a second. Returns how many bytes were."""
    connection.setblocking(False)
    sent, at = 0, time.monotonic()
    while sent < len(frames) and time.monotonic() < at + 1:
        try:
            sent += connection.send(frames[sent : sent + MIB])
            at = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    return sent
