"""A table that cannot be read: compaction stops, sends go on, and /healthz names the file."""

import os
from pathlib import Path

from tests.harness import WAIT_SECONDS, Broker, Wire, wait_until

MESSAGES = 20
MESSAGE_BYTES = 50_000
# RocksDB compacts so many tables that were written from memory.
TABLES = 4


def test_compaction_that_meets_a_damaged_table_does_not_stop_sends(tmp_path: Path) -> None:
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
                with table.open("r+b") as file:
                    file.seek(table.stat().st_size // 2)
                    byte = file.read(1)
                    file.seek(-1, os.SEEK_CUR)
                    file.write(bytes([byte[0] ^ 1]))
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
            assert "store does not take writes" not in broker.health
            total = wire.list("after", limit=1)["total"]
            assert wire.list(f"box{TABLES - 1}", limit=1)["total"] == MESSAGES
        broker.restart(kill=True)
        with Wire(broker.port) as wire:
            assert wire.list("after", limit=1)["total"] == total
    finally:
        broker.end()
