"""Changes lost from the write-ahead log: a start refuses unless the loss is accepted. No id is used twice."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.errors import StartError
from mq9fast.storage.broker_state import SYNC_MODES
from mq9fast.storage.rocks import RocksStore
from tests.support.broker import Broker
from tests.support.data_directory import (
    change_state,
    copy_of,
    flip_byte,
    log_files,
    pretend_reboot,
    read_state,
    repeated_start_error,
    truncate,
)
from tests.support.mailbox import read_stored
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]

MESSAGES = 2000


def send(port: int, address: str, count: int) -> list[int]:
    """Send messages, each after the reply to the one before. Returns their ids."""
    with Wire(port) as wire:
        return [wire.msg(address, f"message {number} of {address}")["msg_id"] for number in range(count)]


@pytest.fixture
def broker(start_broker: StartBroker) -> Broker:
    """A killed broker with acknowledged messages in one file of the log."""
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box")
    assert send(broker.port, "box", MESSAGES) == list(range(MESSAGES))
    broker.kill()
    return broker


def damage_at_the_beginning(file: Path) -> None:
    """Damage the checksum that identifies the file."""
    flip_byte(file, 0)


def damage_in_the_middle(file: Path) -> None:
    flip_byte(file, file.stat().st_size // 2)


def zeros_in_the_middle(file: Path) -> None:
    middle = file.stat().st_size // 2 // 4096 * 4096
    with file.open("r+b") as opened:
        opened.seek(middle)
        opened.write(bytes(4096))


def cut_in_the_middle(file: Path) -> None:
    truncate(file, file.stat().st_size // 2)


def cut_by_one_byte(file: Path) -> None:
    truncate(file, file.stat().st_size - 1)


def cut_to_nothing(file: Path) -> None:
    truncate(file, 0)


DAMAGES = [
    damage_at_the_beginning,
    damage_in_the_middle,
    zeros_in_the_middle,
    cut_in_the_middle,
    cut_by_one_byte,
    cut_to_nothing,
    Path.unlink,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_start_refuses_lost_messages_unless_the_loss_is_accepted(
    broker: Broker, damage: Callable[[Path], None]
) -> None:
    (file,) = log_files(broker.data_dir)
    damage(file)
    sentence = repeated_start_error(broker.data_dir)
    assert "acknowledged changes" in sentence
    assert "--accept-loss" in sentence

    flags = broker.flags
    broker.flags = (*flags, "--accept-loss")
    broker.start()
    lost = broker.metric("mq9fast_lost_writes_total")
    assert f"lost at least {lost} acknowledged changes" in sentence
    assert f"ERROR mq9fast.store: {lost} acknowledged changes are lost" in broker.log.read_text()
    assert broker.metric("mq9fast_store_healthy") == 0
    used = set(range(MESSAGES))
    with Wire(broker.port) as wire:
        wire.create(name="box")
    stored = read_stored(broker.port, "box")
    assert stored == {number: b"message %d of box" % number for number in stored}
    # Each message was put with its mailbox's record; a few more changes came before the first.
    assert 0 <= lost // 2 - (len(used) - len(stored)) < 8

    broker.flags = flags
    for _ in range(3):
        new = send(broker.port, "box", 10)
        assert used.isdisjoint(new)
        used |= set(new)
        broker.restart()
        assert broker.metric("mq9fast_lost_writes_total") == 0
        assert broker.metric("mq9fast_store_healthy") == 1
        broker.restart(kill=True)
    assert len(read_stored(broker.port, "box")) == len(stored) + 30


def test_damaged_log_of_an_accepted_loss_is_kept(broker: Broker) -> None:
    (file,) = log_files(broker.data_dir)
    damage_in_the_middle(file)
    damaged = file.read_bytes()
    broker.flags = (*broker.flags, "--accept-loss")
    broker.start()
    assert (broker.data_dir / "lost-1" / file.name).read_bytes() == damaged


def test_start_succeeds_after_a_kill_while_a_loss_is_accepted(broker: Broker) -> None:
    """RocksDB reuses the number of a lost file, and the broker is killed before it records the new file."""
    (file,) = log_files(broker.data_dir)
    cut_in_the_middle(file)
    reused_number = 0
    for place in ("first", "second"):
        data = copy_of(broker, broker.data_dir.with_name(place))
        change_state(data, log_checksums={reused_number: 1})
        store = RocksStore(data, accept_loss=True)
        batch = store.new_batch()
        batch.put(b"key", b"value")
        store.write(batch)
        reused_number = int(log_files(data)[-1].stem)
        killed = Path(shutil.copytree(data, data.with_name(f"{place}-killed")))
        store.close()
    RocksStore(killed, accept_loss=True).close()


def test_accept_loss_without_a_loss_logs_a_warning(broker: Broker) -> None:
    broker.flags = (*broker.flags, "--accept-loss")
    broker.start()
    assert "nothing is lost" in broker.log.read_text()
    assert len(read_stored(broker.port, "box")) == MESSAGES
    assert send(broker.port, "box", 1) == [MESSAGES]


@pytest.mark.parametrize(
    "garbage", [b"\0" * 50, b"garbage" * 9, b"\x07\x00" * 40000], ids=["zeros", "text", "much"]
)
def test_garbage_at_the_end_of_the_log_is_no_loss(broker: Broker, garbage: bytes) -> None:
    (file,) = log_files(broker.data_dir)
    with file.open("ab") as opened:
        opened.write(garbage)
    broker.log.write_text("")
    broker.start()
    assert len(read_stored(broker.port, "box")) == MESSAGES
    assert send(broker.port, "box", 1) == [MESSAGES]
    log = broker.log.read_text()
    assert "WARNING" not in log
    assert "ERROR" not in log


@pytest.mark.parametrize("sync", SYNC_MODES)
def test_kill_in_the_middle_of_a_large_write_is_no_loss(tmp_path: Path, sync: str) -> None:
    """RocksDB writes a large batch in parts. The first part may be complete."""
    store = RocksStore(tmp_path / "data")
    store.begin(sync)
    killed = Path(shutil.copytree(tmp_path / "data", tmp_path / "killed"))
    (file,) = log_files(killed)
    size = file.stat().st_size
    batch = store.new_batch()
    batch.put(b"key", b"v" * 200_000)
    store.write(batch)
    file.write_bytes((tmp_path / "data" / file.name).read_bytes()[: size + 100_000])
    store.close()
    store = RocksStore(killed)
    assert store.lost == 0
    assert store.get(b"key") is None
    store.close()


@pytest.mark.parametrize("sync", SYNC_MODES)
def test_missing_last_write_before_a_kill_is_a_loss(tmp_path: Path, sync: str) -> None:
    """Even if the kill came right after the write."""
    store = RocksStore(tmp_path / "data")
    store.begin(sync)
    batch = store.new_batch()
    batch.put(b"key", b"value")
    store.write(batch)
    if sync == "always":
        store.sync()
    killed = Path(shutil.copytree(tmp_path / "data", tmp_path / "killed"))
    store.close()
    cut_by_one_byte(log_files(killed)[-1])
    with pytest.raises(StartError, match="lost at least 1 acknowledged change"):
        RocksStore(killed)
    store = RocksStore(killed, accept_loss=True)
    store.begin(sync)
    assert store.id_epoch == 1
    store.close()


def test_incomplete_batch_at_the_end_of_the_log_is_no_loss(broker: Broker) -> None:
    (file,) = log_files(broker.data_dir)
    content = file.read_bytes()
    with file.open("ab") as opened:
        opened.write(content[:100])
    broker.start()
    assert send(broker.port, "box", 1) == [MESSAGES]


@pytest.mark.parametrize("sync", ["interval", "never"])
def test_power_cut_that_loses_unsynced_writes_is_only_a_warning(start_broker: StartBroker, sync: str) -> None:
    broker = start_broker("--sync", sync, "--sync-interval", "3600")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.create(name="other")
    assert send(broker.port, "box", 300) == list(range(300))
    wait_until(lambda: read_state(broker.data_dir).acknowledged > 600)
    broker.kill()
    (file,) = log_files(broker.data_dir)
    size = file.stat().st_size
    # Pages reach the disk in any order.
    with file.open("r+b") as opened:
        opened.seek(size // 2 // 4096 * 4096)
        opened.write(bytes(4096))
    # The machine has not rebooted, so nothing may be missing.
    assert "acknowledged changes" in repeated_start_error(broker.data_dir)
    pretend_reboot(broker.data_dir)
    broker.start()
    log = broker.log.read_text()
    assert "WARNING mq9fast.store" in log
    assert "were not durable are lost" in log
    stored = read_stored(broker.port, "box")
    assert 0 < len(stored) < 200
    used = set(range(300))
    for _ in range(2):
        new = send(broker.port, "box", 10)
        assert used.isdisjoint(new)
        used |= set(new)
        broker.restart(kill=True)
    assert len(read_stored(broker.port, "box")) == len(stored) + 20


def test_power_cut_that_loses_synced_writes_is_refused(start_broker: StartBroker) -> None:
    broker = start_broker("--sync", "interval", "--sync-interval", "0.05")
    with Wire(broker.port) as wire:
        wire.create(name="box")
    send(broker.port, "box", 300)
    wait_until(lambda: read_state(broker.data_dir).synced > 600)
    broker.kill()
    (file,) = log_files(broker.data_dir)
    cut_by_one_byte(file)
    pretend_reboot(broker.data_dir)
    assert "acknowledged changes" in repeated_start_error(broker.data_dir)
