"""A segment of the value log is missing: a start refuses unless the loss is accepted. Counts stay right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.errors import StartError
from mq9fast.storage.rocks import RocksStore
from tests.support.broker import Broker, start_error
from tests.support.data_directory import mailbox_sizes
from tests.support.mailbox import list_all, read_stored, send_each
from tests.support.value_log import FIRST, KEYS, large, open_store, put
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]

PAYLOAD = "x" * 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_missing_segment_is_refused_unless_the_loss_is_accepted(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0")
    send_each(broker.port, "small", 5, "small")
    send_each(broker.port, "large", 5, PAYLOAD)
    broker.restart()
    # Another segment, which stays.
    send_each(broker.port, "large", 3, PAYLOAD)
    send_each(broker.port, "other", 2, PAYLOAD)
    with Wire(broker.port) as wire:
        assert wire.delete("large", 0) == {"deleted": True}
    broker.stop()
    segment = broker.data_dir / FIRST
    kept = broker.data_dir.with_name("kept")
    segment.rename(kept)
    # A refused start deletes nothing.
    leftover = broker.data_dir / "values-00000009.seg"
    leftover.touch()
    for _ in range(2):
        sentence = start_error("--data-dir", broker.data_dir)
        assert f"{FIRST} in the data directory {broker.data_dir} is missing: restore" in sentence
    assert leftover.exists()
    kept.rename(segment)
    broker.start()
    assert len(read_stored(broker.port, "large")) == 7
    assert not leftover.exists()
    broker.stop()
    segment.unlink()

    flags = broker.flags
    broker.flags = (*flags, "--accept-loss")
    broker.start()
    assert "ERROR mq9fast.store: 4 acknowledged messages are lost" in broker.log.read_text()
    assert broker.metric("mq9fast_lost_writes_total") == 4
    assert broker.health
    for _ in range(2):
        assert list(read_stored(broker.port, "large")) == [5, 6, 7]
        assert list(read_stored(broker.port, "other")) == [0, 1]
        assert len(read_stored(broker.port, "small")) == 5
        broker.stop()
        assert mailbox_sizes(broker.data_dir) == {"large": (3, 9000), "other": (2, 6000), "small": (5, 25)}
        broker.flags = flags
        broker.start()
    assert not broker.health
    send_each(broker.port, "large", 1, PAYLOAD)
    with Wire(broker.port) as wire:
        assert list(list_all(wire, "large")) == [5, 6, 7, 8]


def test_segment_without_live_values_may_not_be_missing_either(path: Path) -> None:
    store = open_store(path)
    put(store, {KEYS[0]: large(0)})
    put(store, {KEYS[0]: b"\1small"})
    store.close()
    (path / FIRST).unlink()
    with pytest.raises(StartError, match=f"{FIRST} in the data directory .* is missing"):
        RocksStore(path)
    store = RocksStore(path, accept_loss=True)
    assert store.lost == 0
    assert store.get(KEYS[0]) == b"\1small"
    store.close()
    RocksStore(path).close()
