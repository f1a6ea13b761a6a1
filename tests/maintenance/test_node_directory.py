"""The directory of a node of a cluster: checked, not backed up, and salvaged for a single broker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.cluster.record import Chain, Position
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.errors import StoreError
from mq9fast.maintenance.backup import back_up
from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.salvage import salvage
from mq9fast.storage import layout
from tests.support.broker import Broker
from tests.support.mailbox import read_stored
from tests.support.stored_rows import mailbox_record, message_key, message_value

StartBroker = Callable[..., Broker]
MESSAGES = 20
SIZE = 5000


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The directory of a node that has stopped, with one mailbox."""
    path = tmp_path / "node"
    store = ReplicatedStore(path)
    batch = store.new_batch()
    batch.put(layout.VERSION_KEY, layout.number(4))
    batch.put(layout.COUNT_KEY, layout.number(1))
    batch.put(layout.NEXT_UID_KEY, layout.number(2) + layout.number(0))
    sizes = {"count2": MESSAGES, "size_bytes": MESSAGES * SIZE}
    batch.put(b"bbox", mailbox_record(uid=1, next_id=MESSAGES, **sizes))
    for number in range(MESSAGES):
        batch.put(message_key(1, 2, number), message_value(1, b"", b"%d" % (number % 10) * SIZE))
    store.apply([memoryview(batch.changes)], Position(1, Chain(1, 1, 0), 1))
    store.flush()
    store.close()
    return path


def test_node_is_checked_but_not_backed_up(node: Path, tmp_path: Path) -> None:
    report = check_directory(node)
    assert report.is_sound and report.holds.messages == MESSAGES
    with pytest.raises(StoreError, match="is the directory of a node of a cluster"):
        back_up(node, tmp_path / "backup")


def test_broker_serves_what_was_salvaged_of_a_node(
    node: Path, start_broker: StartBroker, tmp_path: Path
) -> None:
    salvaged = salvage(node, tmp_path / "salvaged")
    assert not salvaged.damage and salvaged.holds.messages == MESSAGES
    broker = start_broker(data_dir=tmp_path / "salvaged")
    assert set(map(len, read_stored(broker.port, "box").values())) == {SIZE}
