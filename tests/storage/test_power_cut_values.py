"""A power cut takes values that were not synced: what points to them is dropped, and counts stay right."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.storage.rocks import RocksStore
from tests.support.broker import Broker
from tests.support.data_directory import log_files, mailbox_sizes, pretend_reboot, truncate
from tests.support.mailbox import fill_memtable, list_all, publish_many, send_each
from tests.support.value_log import ALL, FIRST, KEYS, large, open_store, put
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]

PAYLOAD = "x" * 3000
# An idle store flushes its memtables only if they are not small.
TABLE_BYTES = 6 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


def lose_values(path: Path, size: int) -> None:
    """Cut the segment, as a power cut does that takes what was not synced."""
    truncate(path / FIRST, size)


@pytest.fixture
def synced_and_not(path: Path) -> tuple[Path, int]:
    """The directory of a killed store with a value that is not synced, and where it is in the segment."""
    store = open_store(path, "never")
    put(store, {KEYS[0]: large(0)})
    store.sync()
    size = (path / FIRST).stat().st_size
    put(store, {KEYS[1]: b"\1small", KEYS[2]: large(2), KEYS[3]: b"\1small"})
    put(store, {KEYS[4]: b"\1later"})
    killed = Path(shutil.copytree(path, path.with_name("killed")))
    store.close()
    return killed, size


@pytest.mark.parametrize("cut", [0, 1, 1000, 2030])
def test_power_cut_that_takes_a_value_cuts_the_log_there(synced_and_not: tuple[Path, int], cut: int) -> None:
    killed, size = synced_and_not
    lose_values(killed, size + cut)
    pretend_reboot(killed)
    for _ in range(2):
        store = RocksStore(killed)
        assert store.lost == 0
        # A batch is kept as a whole or not at all, and what follows it would leave a gap.
        assert dict(store.scan(*ALL)) == {KEYS[0]: large(0)}
        store.close()


def test_power_cut_that_takes_no_value_loses_nothing(synced_and_not: tuple[Path, int]) -> None:
    killed, _ = synced_and_not
    pretend_reboot(killed)
    store = RocksStore(killed)
    assert dict(store.scan(*ALL)) == {
        KEYS[0]: large(0),
        KEYS[1]: b"\1small",
        KEYS[2]: large(2),
        KEYS[3]: b"\1small",
        KEYS[4]: b"\1later",
    }
    store.close()


def test_power_cut_that_takes_a_segment_cuts_the_log_there(path: Path) -> None:
    store = open_store(path, "never")
    put(store, {KEYS[0]: b"\1small"})
    put(store, {KEYS[1]: large(1)})
    killed = Path(shutil.copytree(path, path.with_name("killed")))
    store.close()
    (killed / FIRST).unlink()
    pretend_reboot(killed)
    store = RocksStore(killed)
    assert dict(store.scan(*ALL)) == {KEYS[0]: b"\1small"}
    assert store.values.missing == []
    put(store, {KEYS[1]: large(1)})
    assert store.get(KEYS[1]) == large(1)
    store.close()


@pytest.mark.parametrize(("left", "ids"), [(0, []), (1, [0]), (3, [0, 2])])
def test_power_cut_drops_rows_of_tables_whose_values_it_took(
    start_broker: StartBroker, left: int, ids: list[int]
) -> None:
    broker = start_broker("--sync", "never")
    send_each(broker.port, "small", 5, "small")
    send_each(broker.port, "large", 3, PAYLOAD)
    log = log_files(broker.data_dir)
    with Wire(broker.port) as wire:
        wire.create(name="batch")
        # One turn, and so one row.
        publish_many(wire, "batch", 4, PAYLOAD.encode(), 4)
        assert wire.delete("batch", 1) == {"deleted": True}
        assert wire.delete("large", 1) == {"deleted": True}
        fill_memtable(wire, TABLE_BYTES)
    # An idle store writes a table, which RocksDB syncs.
    wait_until(lambda: not any(file.exists() for file in log))
    broker.kill()
    lose_values(broker.data_dir, 32 + left * (16 + 18 + 16 + len(PAYLOAD)))
    pretend_reboot(broker.data_dir)
    broker.start()
    lost = 2 - len(ids) + 3
    line = f"WARNING mq9fast.store: {lost} messages that were not durable are lost with their values"
    assert line in broker.log.read_text()
    for _ in range(2):
        with Wire(broker.port) as wire:
            assert list(list_all(wire, "small")) == [0, 1, 2, 3, 4]
            assert list(list_all(wire, "large")) == ids
            assert list_all(wire, "batch") == {}
        broker.stop()
        sizes = mailbox_sizes(broker.data_dir)
        assert sizes["small"] == (5, 25)
        assert sizes["large"] == (len(ids), len(ids) * len(PAYLOAD))
        assert sizes["batch"] == (0, 0)
        broker.start()
    assert broker.log.read_text().count("are lost with their values") == 1
