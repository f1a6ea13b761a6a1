"""The store of a node: its directory, kills, and failures of RocksDB."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mq9fast.cluster.record import Chain, Position
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.errors import StartError, StoreError
from mq9fast.storage.rocks import RocksStore
from tests.support.owner import rows_of

APPLY = """
import sys, os, pathlib
from mq9fast.cluster.record import Chain, Position
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast._core.storage.logged_batch import LoggedBatch
store = ReplicatedStore(pathlib.Path(sys.argv[1]))
for number in range(1, 4000):
    batch = store.new_batch()
    batch.put(b"%06d" % number, os.urandom(10_000))
    store.apply([memoryview(batch.changes)], Position(number, Chain(1, number, 0), number))
    if number == 1000:
        store.flush()
print(store.flushed.sequence, flush=True)
os.kill(os.getpid(), 9)
"""


def test_killed_store_has_everything_up_to_some_batch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", APPLY, str(tmp_path / "a")], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (-9, b"1000\n"), done.stderr
    store = ReplicatedStore(tmp_path / "a")
    sequence = store.position.sequence
    assert 1000 <= sequence < 3999
    assert sorted(rows_of(store)) == [b"%06d" % number for number in range(1, sequence + 1)]
    assert store.position == Position(sequence, Chain(1, sequence, 0), sequence)
    store.close()


def test_one_node_opens_a_directory(tmp_path: Path) -> None:
    store = ReplicatedStore(tmp_path / "a")
    other = subprocess.run(
        [sys.executable, "-m", "mq9fast", "--port", "0", "--data-dir", str(tmp_path / "a")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MQ9FAST_MONITOR_PORT": "-1"},
    )
    assert other.returncode == 1
    assert "is that of a node of a cluster" in other.stderr
    script = APPLY.partition("for")[0]
    other = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    assert "is in use by another broker" in other.stderr
    store.close()


def test_directory_of_a_broker_without_a_log_is_refused(tmp_path: Path) -> None:
    RocksStore(tmp_path / "a").close()
    with pytest.raises(StartError, match="is not that of a node of a cluster"):
        ReplicatedStore(tmp_path / "a")


def test_deleted_directory_is_found(tmp_path: Path) -> None:
    store = ReplicatedStore(tmp_path / "a")
    store.check()
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(StoreError, match="is gone"):
        store.check()
    with pytest.raises(StoreError, match="is gone"):
        store.apply((), Position(1))
    store.close()


def test_standby_does_not_write(tmp_path: Path) -> None:
    store = ReplicatedStore(tmp_path / "a")
    with pytest.raises(StoreError, match="does not own the log"):
        store.write(store.new_batch())
    with pytest.raises(StoreError, match="restart the node"):
        store.reopen(0, compact=True)
    store.close()


def test_checkpoint_has_the_position(tmp_path: Path) -> None:
    store = ReplicatedStore(tmp_path / "a")
    batch = store.new_batch()
    batch.put(b"key", bytes(100_000))
    store.apply([memoryview(batch.changes)], Position(7, Chain(2, 5, 3), 7))
    store.checkpoint(tmp_path / "b")
    copy = ReplicatedStore(tmp_path / "b")
    assert (rows_of(copy), copy.position) == (rows_of(store), store.position)
    copy.close()
    store.close()
