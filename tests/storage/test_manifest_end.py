"""A power cut while RocksDB appends to its MANIFEST: the damaged end is cut off, and nothing is lost."""

import errno
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.maintenance.backup import back_up
from mq9fast.maintenance.check import check_directory
from tests.fault.harness.machine import SMALL_STORE
from tests.support.broker import run_broker
from tests.support.data_directory import (
    file_hashes,
    flip_byte,
    log_files,
    repeated_start_error,
)
from tests.support.faults.shim import KILL, Shim
from tests.support.killed_store import KilledStore, copy_after_reboot, send_until_killed

DAMAGED = "is damaged"


class Unfinished(KilledStore):
    """The last edits of its MANIFEST have reached the system, but not the disk: that of a flush, from `last`
    to `end`, and one about the log."""

    def __init__(self, path: Path, ids: list[int]) -> None:
        super().__init__(path, ids)
        content = self.manifest.read_bytes()
        at = [0]
        while at[-1] < len(content):
            at.append(at[-1] + 7 + int.from_bytes(content[at[-1] + 4 : at[-1] + 6], "little"))
        assert len(at) > 6
        self.last, self.end, _ = at[-3:]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Unfinished:
    directory = tmp_path_factory.mktemp("unfinished")
    ids = send_until_killed(
        directory, SMALL_STORE, lambda shim: shim.fail("fsync", "MANIFEST-*", KILL, skip=1, most=1)
    )
    return Unfinished(directory / "data", ids)


@pytest.fixture
def unfinished(original: Unfinished, tmp_path: Path) -> Unfinished:
    return copy_after_reboot(original, tmp_path)


def write(store: Unfinished, at: int, data: bytes) -> None:
    with store.manifest.open("r+b") as file:
        file.seek(at)
        file.write(data)


def zeros_at_the_start(store: Unfinished) -> None:
    write(store, store.last, bytes(20))


def zeros_at_the_end(store: Unfinished) -> None:
    write(store, store.last + 20, bytes(store.manifest.stat().st_size - store.last - 20))


def zeros_to_the_end_of_a_longer_file(store: Unfinished) -> None:
    write(store, store.last + 60, bytes(8192))


def zeros_and_cut_off(store: Unfinished) -> None:
    write(store, store.last, bytes(20))
    with store.manifest.open("r+b") as file:
        file.truncate(store.end - 5)


def altered(store: Unfinished) -> None:
    flip_byte(store.manifest, store.last + 30)


DAMAGES = [
    zeros_at_the_start,
    zeros_at_the_end,
    zeros_to_the_end_of_a_longer_file,
    zeros_and_cut_off,
    altered,
]


def check_serves(store: Unfinished, *, damaged: bytes) -> None:
    """Start a broker, which cuts off the end of `damaged`, the content of the MANIFEST."""
    assert f"a power cut damaged the end of {store.manifest.name}" in store.check_holds_all()
    copies = [file.read_bytes() for file in store.path.glob(f"lost-*/{store.manifest.name}")]
    assert damaged in copies


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.replace("_", " "))
def test_damaged_end_is_cut_off_after_a_power_cut(
    unfinished: Unfinished, damage: Callable[[Unfinished], None]
) -> None:
    damage(unfinished)
    damaged = unfinished.manifest.read_bytes()
    report = check_directory(unfinished.path)
    assert report.is_sound, report.problems
    assert f"damaged {unfinished.manifest.name} from byte" in report.notes[0]
    check_serves(unfinished, damaged=damaged)
    assert check_directory(unfinished.path).is_sound


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.replace("_", " "))
def test_directory_with_a_damaged_end_is_backed_up(
    unfinished: Unfinished, tmp_path: Path, damage: Callable[[Unfinished], None]
) -> None:
    damage(unfinished)
    before = file_hashes(unfinished.path)
    copied = back_up(unfinished.path, tmp_path / "backup")
    assert copied.report.holds.messages >= len(unfinished.ids)
    assert file_hashes(unfinished.path) == before
    assert "WARNING" not in unfinished.check_holds_all(tmp_path / "backup")


def test_damaged_end_is_refused_after_a_kill(unfinished: Unfinished, original: Unfinished) -> None:
    """The system keeps what a killed broker wrote: something else has damaged the file."""
    shutil.copy(original.path / "mq9fast.state", unfinished.path)
    zeros_at_the_start(unfinished)
    assert DAMAGED in repeated_start_error(unfinished.path)
    assert DAMAGED in check_directory(unfinished.path).problems[0].sentence


def test_damage_of_an_earlier_flush_is_refused(unfinished: Unfinished) -> None:
    flip_byte(unfinished.manifest, unfinished.last - 30)
    assert DAMAGED in repeated_start_error(unfinished.path)
    assert DAMAGED in check_directory(unfinished.path).problems[0].sentence


def test_edit_that_took_effect_is_missed(unfinished: Unfinished) -> None:
    """RocksDB deletes a log file only after the edit is on the disk: without it, changes are missing."""
    zeros_at_the_start(unfinished)
    log_files(unfinished.path)[0].unlink()
    assert DAMAGED in repeated_start_error(unfinished.path)
    assert DAMAGED in repeated_start_error(unfinished.path, "--accept-loss")
    assert DAMAGED in check_directory(unfinished.path).problems[0].sentence


@pytest.mark.parametrize("error", [errno.EIO, KILL], ids=["error", "kill"])
@pytest.mark.parametrize(
    ("call", "pattern"), [("write", "*/lost-1/*"), ("fsync", "*/lost-1/*"), ("ftruncate", "MANIFEST-*")]
)
def test_start_that_cannot_cut_it_off_begins_again(
    unfinished: Unfinished, tmp_path: Path, call: str, pattern: str, error: int
) -> None:
    zeros_at_the_end(unfinished)
    damaged = unfinished.manifest.read_bytes()
    shim = Shim(tmp_path)
    with shim.failing(call, pattern, error):
        done = run_broker("--data-dir", unfinished.path, **shim.env)
    assert done.returncode == (-signal.SIGKILL if error == KILL else 1)
    assert error == KILL or f"{unfinished.path} cannot be used: Input/output error" in done.stderr
    assert unfinished.manifest.read_bytes() == damaged
    check_serves(unfinished, damaged=damaged)
