"""What waits for a time costs the store nothing until then: a start does not read it, nor does a tick."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.broker import Broker
from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

COUNTS = (1000, 20_000)
TICKS_SECONDS = 1.5
HEADERS = {
    "delay": b"NATS/1.0\r\nMq9-Delay: 1h\r\n\r\n",
    "ttl": b"NATS/1.0\r\nNats-TTL: 1h\r\n\r\n",
    "max_age": b"",
}


def fill(broker: Broker, kind: str, count: int) -> None:
    """Send messages that all wait for an hour."""
    with Wire(broker.port) as wire:
        wire.create(name="box", max_age=3600 if kind == "max_age" else 0)
        header = HEADERS[kind]
        verb, sizes = ("HPUB", f"{len(header)} {len(header) + 1}") if header else ("PUB", "1")
        wire.send((f"{verb} {MAILBOX}MSG.box {sizes}\r\n".encode() + header + b"x\r\n") * count)
        wire.ping()
        assert wire.list("box", limit=1)["total"] == count


def rows_read(data_dir: Path, count: int) -> int:
    """How many rows a start and the ticks after it read. Later ticks read and write none."""
    running = BrokerOnFaultyStore(data_dir)
    faults = running.faults

    def rests() -> bool:
        before = faults.rows_read, faults.batches_written
        time.sleep(TICKS_SECONDS)
        return before == (faults.rows_read, faults.batches_written)

    try:
        wait_until(rests)
        read = faults.rows_read
        with Wire(running.port) as wire:
            assert wire.list("box", limit=1)["total"] == count
        return read
    finally:
        running.end()


@pytest.mark.parametrize("kind", ["delay", "ttl", "max_age"])
def test_start_does_not_read_what_waits(
    start_broker: Callable[..., Broker], tmp_path: Path, kind: str
) -> None:
    read = []
    for count in COUNTS:
        broker = start_broker(data_dir=tmp_path / f"{count}")
        fill(broker, kind, count)
        broker.stop()
        read.append(rows_read(broker.data_dir, count))
    print(f"{kind}: {read}")
    assert max(read) < 100
