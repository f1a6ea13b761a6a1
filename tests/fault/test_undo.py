"""A write fails and the store cannot be read: no count is wrong, then or later."""

import errno
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.mailbox import fill_memtable, publish_many
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]

MESSAGES = 150
# An idle store flushes its memtables only if they are not small.
TABLE_BYTES = 6 << 20


@pytest.fixture
def broker(start_broker: StartBroker, shim: Shim) -> Broker:
    """A broker whose mailboxes are stored in a table that is not in memory."""
    broker = start_broker("--sync", "never", "--monitor-port", "0", env=shim.env)
    with Wire(broker.port) as wire:
        for name in ("box", "other"):
            wire.create(name=name)
            publish_many(wire, name, MESSAGES, b"x")
        fill_memtable(wire, TABLE_BYTES)
    # An idle store flushes its memtables, and then removes its log.
    log = set(broker.data_dir.glob("*.log"))
    wait_until(lambda: log.isdisjoint(broker.data_dir.glob("*.log")))
    return broker


def test_mailbox_with_unknown_state_refuses_requests_until_reloaded(broker: Broker, shim: Shim) -> None:
    with Wire(broker.port) as wire:
        with shim.failing("read", "*.sst", errno.EIO) as read:
            with shim.failing("write", "*.log", errno.ENOSPC) as write:
                assert wire.msg("box", "lost")["code"] == "store_unavailable"
                assert wire.delete("other", 0)["code"] == "store_unavailable"
                assert read.seen and write.seen
            for reply in (
                wire.list("box"),
                wire.msg("box", "refused"),
                wire.delete("box", 0),
                wire.create(name="box"),
            ):
                assert reply["code"] == "store_unavailable"
        wait_until(lambda: wire.list("box").get("total") == MESSAGES)
        assert wire.list("other")["total"] == MESSAGES
        wait_until(lambda: "msg_id" in wire.msg("box", "taken"))
        wait_until(lambda: not broker.health)
        assert wire.list("box")["total"] == MESSAGES + 1
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert wire.list("box")["total"] == MESSAGES + 1
        assert wire.list("other")["total"] == MESSAGES
