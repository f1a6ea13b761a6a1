"""A damaged table: compaction stops, the broker still accepts messages, and /healthz names the file."""

import os
from pathlib import Path

import pytest

from mq9fast.errors import StoreError
from mq9fast.storage.rocks import RocksStore
from tests.support.broker import Broker
from tests.support.data_directory import flip_byte
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire

MESSAGES = 150
# Smaller than what goes to the value log.
MESSAGE_BYTES = 900
# RocksDB compacts level 0 once it has this many tables.
TABLES = 4


def flip_middle_byte(table: Path) -> None:
    flip_byte(table, table.stat().st_size // 2)


def test_store_opened_without_compaction_is_never_compacted(tmp_path: Path) -> None:
    for _ in range(2):
        store = RocksStore(tmp_path / "data")
        batch = store.new_batch()
        for number in range(MESSAGES):
            batch.put(b"key%d" % number, os.urandom(MESSAGE_BYTES))
        store.write(batch)
        store.close()
    flip_middle_byte(min((tmp_path / "data").glob("*.sst")))
    store = RocksStore(tmp_path / "data")
    store.compact(lambda: False)
    with pytest.raises(StoreError, match="Corruption"):
        store.write(store.new_batch())
    store.detach()
    store.reopen(store.written_sequence, compact=False)
    store.attach()
    store.resume()
    store.compact(lambda: False)
    store.write(store.new_batch())
    store.close()


def test_damaged_table_stops_compaction_but_not_messages(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "data", "--monitor-port", "0")
    try:
        for number in range(TABLES):
            with Wire(broker.port) as wire:
                wire.create(name=f"box{number}")
                for _ in range(MESSAGES):
                    assert "msg_id" in wire.msg(f"box{number}", os.urandom(MESSAGE_BYTES))
            assert broker.stop() == 0
            if number == 0:
                (table,) = (tmp_path / "data").glob("*.sst")
                flip_middle_byte(table)
            broker.start()

        with Wire(broker.port) as wire:

            def compaction_is_off() -> bool:
                wire.create(name="after")
                return "compaction is off" in broker.health

            wait_until(compaction_is_off, 2 * WAIT_SECONDS)
            wait_until(lambda: "mail_address" in wire.create(name="after"))
            for _ in range(50):
                assert "msg_id" in wire.msg("after", "z")
            assert table.name in broker.health
            assert "store does not accept writes" not in broker.health
            total = wire.list("after", limit=1)["total"]
            assert wire.list(f"box{TABLES - 1}", limit=1)["total"] == MESSAGES
        broker.restart(kill=True)
        with Wire(broker.port) as wire:
            assert wire.list("after", limit=1)["total"] == total
    finally:
        broker.end()
