"""Deleting a large message does not read it, so one that cannot be read can be deleted."""

import errno
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.data_directory import mailbox_sizes
from tests.support.faults.shim import Shim
from tests.support.mailbox import list_all
from tests.support.wire_client import MAILBOX, Wire

LARGE = b"x" * 50_000
# The life is an attribute of the stored message.
HEADERS = ["", "NATS/1.0\r\nNats-TTL: 1h\r\n\r\n"]

Start = Callable[..., Broker]


def send_large(wire: Wire, count: int, header: str) -> None:
    """Send messages one by one, so that each is a row by itself."""
    for _ in range(count):
        if header:
            wire.send(
                f"HPUB {MAILBOX}MSG.box in {len(header)} {len(header) + len(LARGE)}\r\n"
                f"{header}{LARGE.decode()}\r\n"
            )
        else:
            wire.pub(f"{MAILBOX}MSG.box", LARGE, "in")
        assert "msg_id" in wire.message().json


def test_large_message_is_deleted_unread(start: Start, shim: Shim) -> None:
    """One with a life of its own is read: it may have expired."""
    broker = start()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.sub("in", "1")
        send_large(wire, 4, HEADERS[0])
        with shim.failing("read", "values-*.seg", errno.EIO) as reads:
            assert wire.delete("box", 2) == {"deleted": True}
            assert wire.delete("box", 0) == {"deleted": True}
            assert wire.delete("box", 2) == {"deleted": False}
            assert reads.seen == 0
        assert list(list_all(wire, "box")) == [1, 3]
    broker.stop()
    assert mailbox_sizes(broker.data_dir)["box"] == (2, 2 * len(LARGE))


@pytest.mark.parametrize("header", HEADERS, ids=["plain", "with-attributes"])
def test_large_messages_are_dropped_unread(start: Start, shim: Shim, header: str) -> None:
    broker = start()
    with Wire(broker.port) as wire:
        wire.create(name="box", max_messages=2, discard="old")
        wire.sub("in", "1")
        send_large(wire, 2, header)
        with shim.failing("read", "values-*.seg", errno.EIO) as reads:
            send_large(wire, 3, header)
            assert reads.seen == 0
        assert list(list_all(wire, "box")) == [3, 4]
    broker.stop()
    assert mailbox_sizes(broker.data_dir)["box"] == (2, 2 * (len(header) + len(LARGE)))
