"""`mq9fast backup` and `restore`: complete, verified, and all or nothing."""

import errno
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.errors import StoreError
from mq9fast.maintenance.backup import back_up, restore
from mq9fast.maintenance.check import check_directory
from mq9fast.storage.new_directory import UNFINISHED
from tests.support.broker import Broker
from tests.support.command import MQ9FAST, error, run
from tests.support.data_directory import file_hashes, flip_byte
from tests.support.diverse import Diverse, damaged_files, flip_in_the_middle
from tests.support.faults.shim import Shim
from tests.support.mailbox import list_all, send_each
from tests.support.wire_client import Wire

StartBroker = Callable[..., Broker]


def test_running_broker_is_backed_up_and_restored(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker("--sync", "interval")
    send_each(broker.port, "small", 5, "small")
    send_each(broker.port, "large", 5, "x" * 30_000)
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    done = run("backup", backup, "--json", MQ9FAST_DATA_DIR=str(broker.data_dir))
    shown = json.loads(done.stdout)
    assert (shown["mailboxes"], shown["messages"], shown["bytes"]) == (2, 10, 150_025)
    send_each(broker.port, "small", 5, "later")
    before = file_hashes(backup)
    assert run("restore", backup, restored).returncode == 0
    # What is in it is no one else's business.
    assert backup.stat().st_mode & 0o777 == restored.stat().st_mode & 0o777 == 0o700
    assert file_hashes(backup) == before
    again = start_broker("--sync", "interval", data_dir=restored)
    with Wire(again.port) as wire:
        assert list_all(wire, "small") == dict.fromkeys(range(5), "small")
        # Clients may know the ids up to 9 from the first broker.
        assert wire.msg("small", "new")["msg_id"] > 1 << 32
    assert not [file for file in backup.iterdir() if file.name.endswith(".sst") and file.stat().st_nlink > 2]


def test_stopped_directory_is_backed_up(diverse: Diverse, tmp_path: Path) -> None:
    shown = run("backup", tmp_path / "backup", "--data-dir", diverse.path).stdout
    assert f"messages\t{diverse.total}\n" in shown
    assert check_directory(tmp_path / "backup").holds == check_directory(diverse.path).holds


def test_data_dir_comes_from_the_config_file(diverse: Diverse, tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(f'data_dir = "{diverse.path}"\n')
    assert run("backup", tmp_path / "backup", "--config", config).returncode == 0


def test_later_backup_shares_what_did_not_change(
    elsewhere: Path, start_broker: StartBroker, tmp_path: Path
) -> None:
    broker = start_broker()
    for _ in range(2):
        send_each(broker.port, "large", 5, "x" * 30_000)
        broker.restart()
    first = back_up(broker.data_dir, elsewhere / "first")
    send_each(broker.port, "small", 5, "small")
    second = back_up(broker.data_dir, elsewhere / "second", elsewhere / "first")
    assert first.linked_bytes == 0 and second.linked_bytes > second.copied_bytes
    # A file that the disk has changed since is copied again.
    flip_byte(damaged_files(elsewhere / "second")["segment"], 50_000)
    third = back_up(broker.data_dir, elsewhere / "third", elsewhere / "second")
    assert third.linked_bytes < second.linked_bytes
    with pytest.raises(StoreError, match="is no backup"):
        back_up(broker.data_dir, elsewhere / "fourth", tmp_path)


@pytest.mark.parametrize("kind", ["segment", "table"])
def test_damage_is_noticed(damaged: Path, tmp_path: Path, kind: str) -> None:
    file = damaged_files(damaged)[kind]
    flip_in_the_middle(file)
    text = error("backup", tmp_path / "backup", "--data-dir", damaged, status=1)
    assert "the copy is not sound: " in text
    assert error("restore", damaged, tmp_path / "restored", status=1) == text
    assert not (tmp_path / "backup").exists() and not (tmp_path / "restored").exists()


def test_directory_that_is_not_empty_is_refused(diverse: Diverse, damaged: Path, tmp_path: Path) -> None:
    before = file_hashes(damaged)
    for command in (("restore", diverse.path, damaged), ("backup", damaged, "--data-dir", diverse.path)):
        assert "is not empty: give a new or an empty one" in error(*command, status=1)
    assert file_hashes(damaged) == before
    (tmp_path / "empty").mkdir()
    restore(diverse.path, tmp_path / "empty")
    assert check_directory(tmp_path / "empty").is_sound
    assert "is missing" in error("restore", tmp_path / "no", tmp_path / "restored", status=1)


@pytest.mark.parametrize(
    ("call", "pattern", "number"),
    [
        ("write", "*.seg", errno.ENOSPC),
        ("write", "mq9fast.state", errno.ENOSPC),
        ("write", "MANIFEST-*", errno.EIO),
        ("fsync", "*.sst", errno.EIO),
        ("open", "*.log", errno.EMFILE),
        ("rename", "CURRENT", errno.EIO),
    ],
)
def test_failure_leaves_nothing(
    diverse: Diverse, tmp_path: Path, call: str, pattern: str, number: int
) -> None:
    shim, target = Shim(tmp_path), tmp_path / "restored"
    path = pattern if call == "rename" else f"*/{UNFINISHED}/{pattern}"
    with shim.failing(call, path, number) as rule:
        text = error("restore", diverse.path, target, status=1, **shim.env)
        assert rule.seen
    assert os.strerror(number) in text or "disk is full" in text
    assert not target.exists()
    restore(diverse.path, target)


def test_full_disk_is_named(diverse: Diverse, tmp_path: Path) -> None:
    shim = Shim(tmp_path)
    with shim.failing("write", f"*/{UNFINISHED}/*.seg", errno.ENOSPC):
        text = error("backup", tmp_path / "backup", "--data-dir", diverse.path, status=1, **shim.env)
    assert f"{tmp_path / 'backup'} cannot be written: No space left on device" in text


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_killed_copy_can_be_made_again(diverse: Diverse, tmp_path: Path, command: str) -> None:
    shim, target = Shim(tmp_path), tmp_path / "copy"
    arguments = (target, "--data-dir", diverse.path) if command == "backup" else (diverse.path, target)
    with shim.failing("fsync", f"*/{UNFINISHED}/*", wait=30, skip=2) as rule:
        environment = {**os.environ, **shim.env}
        with subprocess.Popen([*MQ9FAST, command, *arguments], env=environment) as child:
            while rule.seen < 3:
                time.sleep(0.01)
            child.kill()
    assert (target / UNFINISHED).exists()
    assert run(command, *arguments).returncode == 0
    assert check_directory(target).holds.messages == diverse.total


@pytest.mark.parametrize("command", ["restore", "salvage"])
def test_copy_survives_a_power_cut(diverse: Diverse, tmp_path: Path, command: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    shim = Shim(tmp_path, watched=disk)
    assert run(command, diverse.path, disk / "copy", **shim.env).returncode == 0
    shim.cut_power(lose_names=True)
    report = check_directory(disk / "copy")
    assert report.is_sound and report.holds.messages == diverse.total
