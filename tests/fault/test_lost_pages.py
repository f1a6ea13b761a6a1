"""An fsync fails and the kernel drops the pages: the broker reloads what is left in the store."""

import errno
from collections.abc import Callable
from pathlib import Path

from tests.support.broker import Broker
from tests.support.faults.shim import Shim
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


def test_mailboxes_lost_by_a_failed_fsync_are_dropped_from_memory(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    shim = Shim(tmp_path, data_dir)
    broker = start_broker("--monitor-port", "0", data_dir=data_dir, env=shim.env)
    with Wire(broker.port) as wire:
        wire.create(name="kept")
        assert wire.msg("kept", "kept") == {"msg_id": 0}
        # RocksDB writes what it has in memory to a table when it is closed. That fails too.
        tables = shim.fail("open", "*.sst", errno.EIO)
        with shim.failing("fsync", "*.log", errno.EIO):
            assert wire.create(name="lost")["code"] == "store_unavailable"
            assert broker.health
            shim.cut_power()
        wait_until(lambda: tables.seen)
        tables.end()
        wait_until(lambda: not broker.health)
        assert wire.list("lost")["code"] == "mailbox_not_found"
        assert [message["payload"] for message in wire.list("kept")["messages"]] == ["kept"]
        assert wire.create(name="new")["is_new"]
        assert wire.create(name="lost")["is_new"]
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        for name, total in (("kept", 1), ("new", 0), ("lost", 0)):
            assert wire.list(name)["total"] == total
