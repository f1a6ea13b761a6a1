"""Threads that fsync files: all of them, and which one failed."""

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from mq9fast._core.storage.file_syncer import MAX_FILES, FileSyncer
from tests.support.waiting import WAIT_SECONDS


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def syncer(pipe: tuple[int, int], request: pytest.FixtureRequest) -> Iterator[FileSyncer]:
    syncer = FileSyncer(pipe[1])
    syncer.start_threads()
    yield syncer
    syncer.stop()
    # The tests of the debug core count objects before pytest forgets this one.
    del request.node.funcargs["syncer"]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[int]]:
    """Three files and their directory."""
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"unsynced")
    opened = [os.open(path, os.O_RDONLY) for path in (*paths, tmp_path)]
    yield opened
    for each in opened:
        os.close(each)


def test_a_byte_is_written_after_each_lot(
    syncer: FileSyncer, pipe: tuple[int, int], files: list[int]
) -> None:
    for lot in (files, files[:1], files[:2]):
        syncer.start(lot)
        assert select.select([pipe[0]], [], [], WAIT_SECONDS)[0]
        assert os.read(pipe[0], 10) == b"\0"
        assert syncer.wait()[0] == 0


@pytest.mark.parametrize("failing", range(3))
def test_file_that_cannot_be_synced_is_named(
    syncer: FileSyncer, pipe: tuple[int, int], files: list[int], failing: int
) -> None:
    syncer.start([*files[:failing], pipe[0], *files[failing:]])
    assert syncer.wait() == (errno.EINVAL, failing)
    syncer.start(files)
    assert syncer.wait()[0] == 0


def test_stop_ends_what_was_begun(syncer: FileSyncer, pipe: tuple[int, int], files: list[int]) -> None:
    syncer.start(files)
    syncer.stop()
    assert os.read(pipe[0], 10) == b"\0"
    syncer.start_threads()
    syncer.start(files)
    assert syncer.wait()[0] == 0


@pytest.mark.parametrize("count", [0, MAX_FILES + 1])
def test_count_of_files_is_checked(syncer: FileSyncer, files: list[int], count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} files instead of up to"):
        syncer.start(files[:1] * count)
    syncer.start(files[:1] * MAX_FILES)
    assert syncer.wait()[0] == 0
