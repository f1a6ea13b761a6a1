"""`salvage` copies all that can be read, a broker serves it, and what is missing is named."""

import errno
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.errors import StoreError
from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.salvage import Salvaged, salvage
from mq9fast.storage.new_directory import UNFINISHED
from tests.support.broker import Broker
from tests.support.command import MQ9FAST, error
from tests.support.data_directory import change_rows, file_hashes, flip_byte, truncate
from tests.support.diverse import ADDRESSES, Diverse, damaged_files, flip_in_the_middle, listed
from tests.support.faults.shim import Shim
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


def missing(salvaged: Salvaged) -> dict[str, int]:
    """How many messages of each mailbox are lost, as the salvage says."""
    found = dict.fromkeys(ADDRESSES, 0)
    for problem in salvaged.lost:
        found[problem.mailbox] += problem.messages or 0
    return found


def check_salvaged(
    start_broker: StartBroker, path: Path, diverse: Diverse, *, deleted_may_return: bool = False
) -> dict[str, int]:
    """Start a broker on a salvaged directory. Returns how many messages of each mailbox are missing.

    `deleted_may_return`: what says that messages are deleted may be lost.
    """
    report = check_directory(path)
    assert report.is_sound, report.problems
    broker = start_broker(data_dir=path)
    gone = {}
    for address, stored in diverse.stored.items():
        found = listed(broker.port, address)
        assert deleted_may_return or found.keys() <= stored.keys()
        assert all(text == stored.get(msg_id, text) for msg_id, text in found.items())
        gone[address] = len(stored.keys() - found.keys())
        with Wire(broker.port) as wire:
            assert wire.msg(address, "next")["msg_id"] > max(stored)
    broker.stop()
    return gone


def test_sound_store_is_copied_whole(diverse: Diverse, start_broker: StartBroker, tmp_path: Path) -> None:
    salvaged = salvage(diverse.path, tmp_path / "salvaged")
    assert not salvaged.damage and not salvaged.lost
    assert salvaged.holds == check_directory(diverse.path).holds
    assert check_directory(tmp_path / "salvaged").holds == salvaged.holds
    gone = check_salvaged(start_broker, tmp_path / "salvaged", diverse)
    assert gone == dict.fromkeys(ADDRESSES, 0)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: truncate(file, 50)], ids=["missing", "cut"])
@pytest.mark.parametrize("kind", ["manifest", "current", "state"])
def test_messages_survive_without_files_that_hold_none(
    damaged: Path, diverse: Diverse, tmp_path: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    file = damaged_files(damaged)[kind]
    damage(file) if kind != "current" else file.write_bytes(b"garbage")
    salvaged = salvage(damaged, tmp_path / "salvaged")
    assert salvaged.holds.messages == diverse.total and not salvaged.lost
    assert check_directory(tmp_path / "salvaged").is_sound


@pytest.mark.parametrize("damage", [Path.unlink, flip_in_the_middle], ids=["missing", "flipped"])
@pytest.mark.parametrize("kind", ["segment", "table"])
def test_all_but_what_is_damaged_is_copied(
    damaged: Path,
    diverse: Diverse,
    start_broker: StartBroker,
    tmp_path: Path,
    kind: str,
    damage: Callable[[Path], None],
) -> None:
    file = damaged_files(damaged)[kind]
    damage(file)
    before = file_hashes(damaged)
    salvaged = salvage(damaged, tmp_path / "salvaged")
    assert file_hashes(damaged) == before
    assert any(file.name in problem.sentence or "segment" in problem.reason for problem in salvaged.damage)
    has_table = kind == "segment"
    gone = check_salvaged(start_broker, tmp_path / "salvaged", diverse, deleted_may_return=not has_table)
    assert 0 < sum(gone.values()) < diverse.total
    assert missing(salvaged) == gone or not has_table


def test_log_is_read_behind_its_damage(damaged: Path, diverse: Diverse, tmp_path: Path) -> None:
    flip_in_the_middle(damaged_files(damaged)["log"])
    salvaged = salvage(damaged, tmp_path / "salvaged")
    assert "acknowledged changes are lost" in salvaged.damage[0].reason
    assert salvaged.holds.messages > diverse.total * 0.7
    assert check_directory(tmp_path / "salvaged").is_sound


def test_mailbox_without_its_record_gets_another_name(
    damaged: Path, diverse: Diverse, start_broker: StartBroker, tmp_path: Path
) -> None:
    change_rows(damaged, {b"bsmall": b"garbage"})
    salvaged = salvage(damaged, tmp_path / "salvaged")
    (renamed,) = [problem.mailbox for problem in salvaged.damage if problem.mailbox.startswith("salvaged.")]
    broker = start_broker(data_dir=tmp_path / "salvaged")
    assert listed(broker.port, renamed) == diverse.stored["small"]


def test_several_damages_at_once(
    damaged: Path, diverse: Diverse, start_broker: StartBroker, tmp_path: Path
) -> None:
    files = damaged_files(damaged)
    for offset in (1000, 90_000):
        flip_byte(files["segment"], offset)
    files["state"].unlink()
    for table in damaged.glob("*.sst"):
        flip_byte(table, 50)
    salvaged = salvage(damaged, tmp_path / "salvaged")
    gone = check_salvaged(start_broker, tmp_path / "salvaged", diverse, deleted_may_return=True)
    assert salvaged.damage and 0 < sum(gone.values()) < diverse.total


def test_nothing_readable_leaves_nothing(damaged: Path, tmp_path: Path) -> None:
    for file in [*damaged.glob("*.sst"), *damaged.glob("*.log")]:
        file.unlink()
    with pytest.raises(StoreError, match=r"nothing in .* can be read"):
        salvage(damaged, tmp_path / "salvaged")
    assert not (tmp_path / "salvaged").exists()


@pytest.mark.parametrize(
    ("call", "pattern", "number"),
    [
        ("write", "*.seg", errno.ENOSPC),
        ("write", "*.log", errno.ENOSPC),
        ("fsync", "*.sst", errno.EIO),
        ("rename", "CURRENT", errno.EIO),
        ("open", "*.seg", errno.EMFILE),
    ],
)
def test_failed_salvage_leaves_nothing(
    diverse: Diverse, tmp_path: Path, call: str, pattern: str, number: int
) -> None:
    shim = Shim(tmp_path)
    target = tmp_path / "salvaged"
    with shim.failing(call, f"*/{UNFINISHED}/{pattern}", number):
        text = error("salvage", diverse.path, target, status=1, **shim.env)
    assert text.startswith("mq9fast: ")
    assert not target.exists()
    assert salvage(diverse.path, target).holds.messages == diverse.total


def test_killed_salvage_can_be_made_again(diverse: Diverse, tmp_path: Path) -> None:
    shim, target = Shim(tmp_path), tmp_path / "salvaged"
    with shim.failing("fsync", f"*/{UNFINISHED}/*", wait=30, skip=3) as rule:
        command = [*MQ9FAST, "salvage", diverse.path, target]
        with subprocess.Popen(command, env={**os.environ, **shim.env}, stdout=subprocess.PIPE) as child:
            while rule.seen < 4:
                time.sleep(0.01)
            child.kill()
    assert (target / UNFINISHED).exists()
    assert salvage(diverse.path, target).holds.messages == diverse.total


def test_target_must_be_elsewhere_and_empty(diverse: Diverse, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is in the data directory itself"):
        salvage(diverse.path, diverse.path / "inside")
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(StoreError, match="is not empty"):
        salvage(diverse.path, tmp_path)
