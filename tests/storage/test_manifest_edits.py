"""A power cut while one fsync of the MANIFEST is to make several edits durable: only the first is damaged."""

import errno
import re
import shutil
from pathlib import Path

import pytest

from mq9fast._core.storage.rocks_log import PayloadReader
from mq9fast.errors import StoreError
from mq9fast.maintenance.backup import back_up
from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.salvage import salvage
from mq9fast.storage.manifest import read_manifest
from tests.fault.harness.machine import SMALL_STORE
from tests.support.broker import Broker
from tests.support.data_directory import (
    change_state,
    file_hashes,
    log_files,
    pretend_reboot,
    read_state,
    repeated_start_error,
)
from tests.support.faults.shim import KILL, Shim
from tests.support.mailbox import list_all
from tests.support.wire_client import Wire

TEXT = "x" * 900
DELETED_TABLES = 4
HEADER_BYTES = 7


class Compacted:
    """A killed store, whose MANIFEST ends with the edits of a flush and of a compaction, and perhaps more.

    It still has all files that these edits replaced. `ids`: of all acknowledged messages. `at`: where the
    edit of the flush begins.
    """

    def __init__(self, path: Path, ids: list[int]) -> None:
        self.path = path
        self.ids = ids
        self.manifest = path / (path / "CURRENT").read_text().strip()
        content = self.manifest.read_bytes()
        reader = PayloadReader()
        reader.feed(content)
        ends = [0]
        for payload in reader.payloads:
            ends.append(ends[-1] + HEADER_BYTES + len(payload))
        # The edits of flushes and of the compaction name keys of messages.
        changes = [number for number, payload in enumerate(reader.payloads) if b"box" in payload]
        flushed = changes[DELETED_TABLES - 1]
        self.at = ends[flushed]
        assert len(changes) > DELETED_TABLES and len(content) < 32768

    def damage(self) -> None:
        with self.manifest.open("r+b") as file:
            file.seek(self.at)
            file.write(bytes(20))

    def delete_log_of_the_flush(self) -> None:
        """As RocksDB does when the flush is durable."""
        first = read_manifest(self.path, after_power_cut=True).first_log
        log = next(file for file in log_files(self.path) if int(file.stem) >= first)
        log.unlink()

    def delete_compacted_tables(self) -> None:
        """As RocksDB does when the compaction is durable."""
        for number in read_manifest(self.path, after_power_cut=True).tables:
            (self.path / f"{number:06d}.sst").unlink()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Compacted:
    directory = tmp_path_factory.mktemp("compacted")
    shim = Shim(directory)
    broker = Broker(directory / "data", "--min-free", "0", env=shim.env, command=SMALL_STORE)
    ids = []
    # Files that were replaced stay, as when one fsync is under way for all these edits.
    shim.fail("unlink", "*.log", errno.EIO)
    shim.fail("unlink", "*.sst", KILL)
    with Wire(broker.port) as wire:
        wire.create(name="box")
        while True:
            try:
                ids.append(wire.msg("box", TEXT)["msg_id"])
            except (OSError, EOFError):
                break
    broker.kill()
    return Compacted(directory / "data", ids)


@pytest.fixture
def compacted(original: Compacted, tmp_path: Path) -> Compacted:
    """A copy, after a reboot."""
    shutil.copytree(original.path, tmp_path / "data")
    pretend_reboot(tmp_path / "data")
    return Compacted(tmp_path / "data", original.ids)


def check_holds_all(store: Compacted, path: Path) -> None:
    broker = Broker(path)
    try:
        with Wire(broker.port) as wire:
            given = list_all(wire, "box")
        assert set(store.ids) <= given.keys() and set(given.values()) == {TEXT}
        assert "acknowledged" not in broker.log.read_text()
    finally:
        broker.end()


def test_all_edits_from_the_damaged_one_on_are_cut_off(compacted: Compacted) -> None:
    compacted.damage()
    report = check_directory(compacted.path)
    assert report.is_sound, report.problems
    assert f"damaged {compacted.manifest.name} from byte {compacted.at}" in report.notes[0]
    check_holds_all(compacted, compacted.path)


def test_backup_is_the_store_without_these_edits(compacted: Compacted, tmp_path: Path) -> None:
    compacted.damage()
    before = file_hashes(compacted.path)
    back_up(compacted.path, tmp_path / "backup")
    assert file_hashes(compacted.path) == before
    check_holds_all(compacted, tmp_path / "backup")


@pytest.mark.parametrize("gone", ["log", "tables", "both"])
def test_edits_that_took_effect_are_not_cut_off(compacted: Compacted, tmp_path: Path, gone: str) -> None:
    """Something else has damaged the file. No start, not even one that accepts a loss, drops the tables that
    hold all; salvage reads them."""
    compacted.damage()
    if gone != "tables":
        compacted.delete_log_of_the_flush()
    if gone != "log":
        compacted.delete_compacted_tables()
    for flags in ((), ("--accept-loss",)):
        sentence = repeated_start_error(compacted.path, *flags)
        assert f"{compacted.manifest.name} in the data directory" in sentence
        assert "is damaged" in sentence and "mq9fast salvage" in sentence
    assert "is damaged" in check_directory(compacted.path).problems[0].sentence
    with pytest.raises(StoreError, match="is damaged"):
        back_up(compacted.path, tmp_path / "backup")
    salvage(compacted.path, tmp_path / "salvaged")
    check_holds_all(compacted, tmp_path / "salvaged")


def test_log_that_begins_later_is_noticed_without_a_fresh_state(compacted: Compacted) -> None:
    """The state file says up to a second later what is durable."""
    compacted.damage()
    compacted.delete_log_of_the_flush()
    flushed = read_manifest(compacted.path, after_power_cut=True).flushed
    change_state(compacted.path, synced=flushed, acknowledged=flushed)
    assert read_state(compacted.path).synced == flushed
    assert re.search("MANIFEST-.* is damaged", repeated_start_error(compacted.path))
