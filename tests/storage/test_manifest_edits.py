"""A power cut while one fsync of the MANIFEST is to make several edits durable: only the first is damaged."""

import errno
import re
from pathlib import Path

import pytest

from mq9fast._core.storage.rocks_log import PayloadReader
from mq9fast.errors import StoreError
from mq9fast.maintenance.backup import back_up
from mq9fast.maintenance.check import check_directory
from mq9fast.maintenance.salvage import salvage
from mq9fast.storage.manifest import read_manifest
from tests.fault.harness.machine import SMALL_STORE
from tests.support.data_directory import (
    change_state,
    file_hashes,
    log_files,
    read_state,
    repeated_start_error,
)
from tests.support.faults.shim import KILL, Shim
from tests.support.killed_store import KilledStore, copy_after_reboot, send_until_killed

DELETED_TABLES = 4
HEADER_BYTES = 7


class Compacted(KilledStore):
    """A store, whose MANIFEST ends with the edits of a flush and of a compaction, and perhaps more.

    It still has all files that these edits replaced. `at`: where the edit of the flush begins.
    """

    def __init__(self, path: Path, ids: list[int]) -> None:
        super().__init__(path, ids)
        reader = PayloadReader()
        reader.feed(self.manifest.read_bytes())
        ends = [0]
        for payload in reader.payloads:
            ends.append(ends[-1] + HEADER_BYTES + len(payload))
        # The edits of flushes and of the compaction name keys of messages.
        changes = [number for number, payload in enumerate(reader.payloads) if b"box" in payload]
        flushed = changes[DELETED_TABLES - 1]
        self.at = ends[flushed]
        assert len(changes) > DELETED_TABLES

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

    def keep_replaced_files(shim: Shim) -> None:
        """As when one fsync is under way for all these edits."""
        shim.fail("unlink", "*.log", errno.EIO)
        shim.fail("unlink", "*.sst", KILL)

    ids = send_until_killed(directory, SMALL_STORE, keep_replaced_files)
    return Compacted(directory / "data", ids)


@pytest.fixture
def compacted(original: Compacted, tmp_path: Path) -> Compacted:
    return copy_after_reboot(original, tmp_path)


def test_all_edits_from_the_damaged_one_on_are_cut_off(compacted: Compacted) -> None:
    compacted.damage()
    report = check_directory(compacted.path)
    assert report.is_sound, report.problems
    assert f"damaged {compacted.manifest.name} from byte {compacted.at}" in report.notes[0]
    compacted.check_holds_all()


def test_backup_is_the_store_without_these_edits(compacted: Compacted, tmp_path: Path) -> None:
    compacted.damage()
    before = file_hashes(compacted.path)
    back_up(compacted.path, tmp_path / "backup")
    assert file_hashes(compacted.path) == before
    compacted.check_holds_all(tmp_path / "backup")


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
    compacted.check_holds_all(tmp_path / "salvaged")


def test_log_that_begins_later_is_noticed_without_a_fresh_state(compacted: Compacted) -> None:
    """The state file says up to a second later what is durable."""
    compacted.damage()
    compacted.delete_log_of_the_flush()
    flushed = read_manifest(compacted.path, after_power_cut=True).flushed
    change_state(compacted.path, synced=flushed, acknowledged=flushed)
    assert read_state(compacted.path).synced == flushed
    assert re.search("MANIFEST-.* is damaged", repeated_start_error(compacted.path))
