"""Copies of a store that a broker serves: consistent, complete, and all or nothing."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.errors import StoreError
from mq9fast.storage.checkpoint import Checkpoint, checkpoint
from mq9fast.storage.new_directory import UNFINISHED
from mq9fast.storage.rocks import RocksStore
from tests.support.broker import Broker, start_error
from tests.support.data_directory import file_hashes, mailbox_sizes, read_state
from tests.support.mailbox import list_all, read_stored, send_each
from tests.support.value_log import KEYS, large, open_store, put
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


class Load:
    """Sends messages of all sizes to one mailbox and deletes most of them, in a thread."""

    def __init__(self, port: int) -> None:
        self.acknowledged: list[int] = []
        self.kept: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,))
        self._thread.start()

    def _run(self, port: int) -> None:
        with Wire(port) as wire:
            wire.create(name="load")
            number = 0
            while not self._stop.is_set():
                size = (20, 900, 5_000, 200_000)[number % 4]
                msg_id = wire.msg("load", f"{number}:" + "x" * size)["msg_id"]
                if number % 3:
                    assert wire.delete("load", msg_id) == {"deleted": True}
                else:
                    self.kept.add(msg_id)
                self.acknowledged.append(msg_id)
                number += 1

    def go_on(self) -> None:
        """Wait for 50 more messages."""
        before = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) > before + 50)

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_copy_has_everything_acknowledged_before_it(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker("--sync", "interval")
    load = Load(broker.port)
    copies = []
    for number in range(3):
        load.go_on()
        kept, last = set(load.kept), load.acknowledged[-1]
        copies.append((tmp_path / f"copy{number}", kept, last))
        checkpoint(broker.data_dir, tmp_path / f"copy{number}")
    load.end()
    broker.kill()
    for path, kept, last in copies:
        copy = start_broker("--sync", "interval", data_dir=path)
        assert "WARNING" not in copy.log.read_text()
        stored = read_stored(copy.port, "load")
        assert kept <= stored.keys()
        for msg_id, payload in stored.items():
            assert payload.startswith(b"%d:" % msg_id)
        with Wire(copy.port) as wire:
            assert wire.msg("load", "next")["msg_id"] > last
        copy.kill()


def test_copy_of_a_stopped_store_equals_it(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    send_each(broker.port, "small", 5, "small")
    send_each(broker.port, "large", 5, "x" * 30_000)
    broker.stop()
    before = file_hashes(broker.data_dir)
    copy = Checkpoint(broker.data_dir)
    copy.write(tmp_path / "copy")
    assert copy.linked_bytes + copy.copied_bytes > 150_000
    assert file_hashes(broker.data_dir) == before
    assert sorted(file.name for file in (tmp_path / "copy").iterdir() if file.name not in before) == []
    again = start_broker(data_dir=tmp_path / "copy")
    assert list(read_stored(again.port, "large")) == [0, 1, 2, 3, 4]
    again.stop()
    assert mailbox_sizes(tmp_path / "copy") == {"large": (5, 150_000), "small": (5, 25)}


def test_copy_and_store_go_on_apart(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    send_each(broker.port, "large", 3, "x" * 30_000)
    Checkpoint(broker.data_dir, raise_ids=True).write(tmp_path / "copy")
    send_each(broker.port, "large", 2, "y" * 30_000)
    copy = start_broker(data_dir=tmp_path / "copy")
    with Wire(copy.port) as wire:
        # Clients may know the ids 3 and 4 of the original.
        assert wire.msg("large", "z")["msg_id"] == (1 << 32) + 3
        assert list(list_all(wire, "large")) == [0, 1, 2, (1 << 32) + 3]
    assert set(read_stored(broker.port, "large").values()) == {b"x" * 30_000, b"y" * 30_000}
    assert len(read_stored(broker.port, "large")) == 5


def test_copy_on_another_file_system(elsewhere: Path, start_broker: StartBroker) -> None:
    broker = start_broker()
    send_each(broker.port, "large", 5, "x" * 30_000)
    broker.restart()
    send_each(broker.port, "large", 5, "y" * 30_000)
    first = Checkpoint(broker.data_dir)
    first.write(elsewhere / "first")
    assert first.linked_bytes == 0
    send_each(broker.port, "large", 1, "z")
    second = Checkpoint(broker.data_dir, base=elsewhere / "first")
    second.write(elsewhere / "second")
    assert second.linked_bytes > 150_000
    copy = start_broker(data_dir=elsewhere / "second")
    assert len(read_stored(copy.port, "large")) == 11


def test_open_store_is_copied_while_it_is_written(tmp_path: Path) -> None:
    store = open_store(tmp_path / "data")
    failures: list[BaseException] = []

    def copy() -> None:
        try:
            for number in range(5):
                store.checkpoint(tmp_path / f"copy{number}")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=copy)
    thread.start()
    rounds = 0
    while thread.is_alive():
        put(store, {key: large(rounds % 256) for key in KEYS})
        rounds += 1
        time.sleep(0.001)
    store.close()
    assert not failures and rounds > 5
    for number in range(5):
        with_values = RocksStore(tmp_path / f"copy{number}")
        values = {with_values.get(key) for key in KEYS}
        assert len(values) == 1, "a batch is in the copy whole or not at all"
        with_values.close()


def test_target_must_be_new_or_empty(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    target = tmp_path / "copy"
    target.mkdir()
    (target / "mine").write_text("precious")
    with pytest.raises(StoreError, match="is not empty"):
        checkpoint(broker.data_dir, target)
    assert file_hashes(target).keys() == {"mine"}
    with pytest.raises(StoreError, match="is no directory"):
        checkpoint(broker.data_dir, target / "mine")
    with pytest.raises(StoreError, match="is in the data directory itself"):
        checkpoint(broker.data_dir, broker.data_dir / "copy")
    (target / "mine").unlink()
    checkpoint(broker.data_dir, target)
    assert (target / "CURRENT").exists()


@pytest.mark.parametrize("name", ["CURRENT", "*.seg", "*.sst", "MANIFEST-*"])
def test_missing_file_leaves_no_copy(start_broker: StartBroker, tmp_path: Path, name: str) -> None:
    broker = start_broker()
    for _ in range(2):
        send_each(broker.port, "large", 2, "x" * 30_000)
        broker.restart()
    broker.stop()
    missing = sorted(broker.data_dir.glob(name))[0]
    missing.unlink()
    if name == "*.seg":  # only the store's rows know it: `check` finds it
        checkpoint(broker.data_dir, tmp_path / "copy")
        assert missing.name in start_error("--data-dir", tmp_path / "copy")
        return
    with pytest.raises(StoreError, match=f"{missing.name} in the data directory .* is missing"):
        checkpoint(broker.data_dir, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_damaged_log_is_not_copied(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    send_each(broker.port, "small", 5, "small")
    broker.kill()
    newest = sorted(broker.data_dir.glob("*.log"))[-1]
    os.truncate(newest, newest.stat().st_size // 2)
    with pytest.raises(StoreError, match=r"the log in the data directory .* is damaged"):
        checkpoint(broker.data_dir, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


# Makes a checkpoint, and says when it is about to sync a directory.
SLOW_CHECKPOINT = """
import pathlib, sys, time
from mq9fast.storage import checkpoint, new_directory
sync = new_directory.sync_directory
def slow(path):
    print(path, flush=True)
    time.sleep(0.2)
    sync(path)
new_directory.sync_directory = slow
checkpoint.checkpoint(*map(pathlib.Path, sys.argv[1:]))
"""


def kill_checkpoint(source: Path, target: Path, step: int) -> None:
    """Kill a process that makes a checkpoint before it syncs a directory for the nth time: 1: it has begun;
    2: all is written; 3: all but CURRENT is in place; 4: CURRENT is."""
    command = [sys.executable, "-c", SLOW_CHECKPOINT, source, target]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(step):
            assert child.stdout.readline()
        child.kill()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_killed_copy_is_refused_and_can_be_made_again(
    start_broker: StartBroker, tmp_path: Path, step: int
) -> None:
    broker, target = start_broker(), tmp_path / "copy"
    send_each(broker.port, "large", 5, "x" * 300_000)
    kill_checkpoint(broker.data_dir, target, step)
    assert (target / UNFINISHED).exists()
    start_error("--data-dir", target)
    checkpoint(broker.data_dir, target)
    assert not (target / UNFINISHED).exists()
    copy = start_broker(data_dir=target)
    assert len(read_stored(copy.port, "large")) == 5


def test_copy_killed_at_its_end_is_whole(start_broker: StartBroker, tmp_path: Path) -> None:
    broker, target = start_broker(), tmp_path / "copy"
    send_each(broker.port, "large", 5, "x" * 300_000)
    kill_checkpoint(broker.data_dir, target, 4)
    copy = start_broker(data_dir=target)
    assert len(read_stored(copy.port, "large")) == 5
    copy.stop()
    with pytest.raises(StoreError, match="is not empty"):
        checkpoint(broker.data_dir, target)
    assert mailbox_sizes(target) == {"large": (5, 1_500_000)}


def test_state_of_a_copy_promises_what_it_has(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker("--sync", "never")
    send_each(broker.port, "small", 5, "small")
    checkpoint(broker.data_dir, tmp_path / "copy")
    state = read_state(tmp_path / "copy")
    assert state.clean and state.synced == state.acknowledged
    # What a copy loses afterwards is seen, although the original's broker promised less.
    newest = sorted((tmp_path / "copy").glob("*.log"))[-1]
    os.truncate(newest, newest.stat().st_size - 20)
    assert "has lost at least" in start_error("--data-dir", tmp_path / "copy")
