"""Tests of `storage/rocks_log` and what reads logs with it: written logs are read back, damage is found."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mq9fast._core.storage.rocks_log import BatchReader, PayloadReader, find_last_sequence
from mq9fast.storage.broker_state import BrokerState
from mq9fast.storage.loss import Loss, measure_loss
from mq9fast.storage.manifest import Manifest
from mq9fast.storage.write_ahead_log import (
    Break,
    WriteAheadLog,
    move_broken_part,
    read_log,
    truncate_at_break,
)
from tests.support.rocks_log import log_of


def batch(sequence: int, count: int, size: int = 20) -> bytes:
    return struct.pack("<QI", sequence, count) + b"x" * size


@given(st.lists(st.integers(0, 90000), max_size=8))
def test_payloads_are_read_back(sizes: list[int]) -> None:
    payloads = [bytes([number]) * size for number, size in enumerate(sizes)]
    reader = PayloadReader()
    assert reader.feed(log_of(payloads))
    assert reader.payloads == payloads
    assert not reader.torn


@given(st.lists(st.integers(12, 40000), min_size=1, max_size=6), st.data())
def test_truncated_or_altered_log_is_read_up_to_the_damage(sizes: list[int], data: st.DataObject) -> None:
    file = log_of([batch(number + 1, 1, size) for number, size in enumerate(sizes)])
    at = data.draw(st.integers(0, len(file) - 1))
    for damaged in (file[:at], file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]):
        reader = BatchReader(0)
        reader.feed(damaged)
        whole = sum(
            len(log_of([batch(n + 1, 1, size) for n, size in enumerate(sizes[:count])])) <= at
            for count in range(1, len(sizes) + 1)
        )
        assert reader.last in {whole, len(sizes)} if file[at] == 0 else reader.last == whole
        assert reader.end <= at or reader.last == len(sizes)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_random_bytes_do_not_crash(data: bytes, start: int) -> None:
    BatchReader(5).feed(data)
    PayloadReader().feed(data)
    find_last_sequence(data, start, 0, 2**40)


def write_logs(path: Path, **files: list[bytes]) -> Manifest:
    """Write log files, named by number, of a store whose tables contain everything up to sequence 10."""
    for name, payloads in files.items():
        (path / f"{int(name[1:]):06d}.log").write_bytes(log_of(payloads))
    return Manifest("MANIFEST-000001", "", 4, 100, 10, {}, {})


def test_sequence_is_followed_through_several_files(tmp_path: Path) -> None:
    manifest = write_logs(
        tmp_path, n3=[batch(1, 9)], n4=[batch(11, 2)], n7=[], n9=[batch(13, 1), batch(14, 0), batch(14, 3)]
    )
    found = read_log(tmp_path, manifest)
    assert (found.last, found.last_after_break, found.broken_at) == (16, 0, None)


@pytest.mark.parametrize("missing", [4, 7])
def test_missing_file_is_found(tmp_path: Path, missing: int) -> None:
    manifest = write_logs(tmp_path, n4=[batch(11, 2)], n7=[batch(13, 5)], n9=[batch(18, 1)])
    (tmp_path / f"{missing:06d}.log").unlink()
    found = read_log(tmp_path, manifest)
    assert found.broken_at == Break("000007.log" if missing == 4 else "000009.log", 0)
    assert (found.last, found.last_after_break) == (10 if missing == 4 else 12, 18)


def test_failed_write_at_the_end_of_a_file_is_not_a_break(tmp_path: Path) -> None:
    manifest = write_logs(tmp_path, n4=[batch(11, 2)], n7=[batch(13, 5)])
    with (tmp_path / "000004.log").open("ab") as file:
        file.write(log_of([batch(13, 9, 100)])[:50])
    found = read_log(tmp_path, manifest)
    assert (found.last, found.last_after_break, found.broken_at) == (17, 0, None)


def test_part_behind_a_break_is_moved_or_truncated(tmp_path: Path) -> None:
    kept, cut = tmp_path / "kept", tmp_path / "cut"
    for path in (kept, cut):
        path.mkdir()
        manifest = write_logs(path, n4=[batch(11, 2), batch(20, 1)], n7=[batch(21, 5)])
        found = read_log(path, manifest)
        assert (found.last, found.last_after_break) == (12, 25)
        if path == kept:
            whole = {file.name: file.read_bytes() for file in found.files}
            move_broken_part(path, found, path / "lost-1")
            assert {file.name: file.read_bytes() for file in (path / "lost-1").iterdir()} == whole
        else:
            truncate_at_break(path, found)
        assert (path / "000004.log").read_bytes() == log_of([batch(11, 2)])
        again = read_log(path, manifest)
        assert (again.last, again.last_after_break, again.broken_at) == (12, 0, None)


# What counts as a loss.

THIS_BOOT, EARLIER_BOOT = "this boot", "an earlier boot"


@pytest.mark.parametrize(
    ("state", "boot", "last", "behind", "expected"),
    [
        # Nothing is missing.
        (
            BrokerState(sync="always", acknowledged=9, synced=9, boot_id=THIS_BOOT),
            THIS_BOOT,
            9,
            0,
            Loss(0, 0, False),
        ),
        (
            BrokerState(sync="always", acknowledged=9, synced=9, boot_id=EARLIER_BOOT),
            THIS_BOOT,
            9,
            0,
            Loss(0, 0, False),
        ),
        (BrokerState(sync="never", acknowledged=9, boot_id=THIS_BOOT), THIS_BOOT, 12, 0, Loss(0, 0, False)),
        # With sync=always, everything acknowledged must be there; anything more need not.
        (
            BrokerState(sync="always", acknowledged=9, synced=9, boot_id=THIS_BOOT),
            THIS_BOOT,
            7,
            0,
            Loss(2, 0, True),
        ),
        (
            BrokerState(sync="always", acknowledged=9, synced=9, boot_id=EARLIER_BOOT),
            THIS_BOOT,
            7,
            8,
            Loss(2, 0, True),
        ),
        (
            BrokerState(sync="always", acknowledged=9, synced=9, boot_id=THIS_BOOT),
            THIS_BOOT,
            9,
            12,
            Loss(0, 3, False),
        ),
        # A kill loses nothing that was written. A power cut loses what was not synced.
        (
            BrokerState(sync="interval", acknowledged=9, synced=5, boot_id=THIS_BOOT),
            THIS_BOOT,
            7,
            0,
            Loss(2, 0, True),
        ),
        (
            BrokerState(sync="interval", acknowledged=9, synced=5, boot_id=THIS_BOOT),
            THIS_BOOT,
            9,
            12,
            Loss(3, 0, True),
        ),
        (
            BrokerState(sync="interval", acknowledged=9, synced=5, boot_id=EARLIER_BOOT),
            THIS_BOOT,
            7,
            0,
            Loss(0, 2, True),
        ),
        (
            BrokerState(sync="interval", acknowledged=9, synced=5, boot_id=EARLIER_BOOT),
            THIS_BOOT,
            4,
            12,
            Loss(1, 0, True),
        ),
        (BrokerState(sync="never", acknowledged=9, boot_id=THIS_BOOT), "", 7, 0, Loss(0, 2, True)),
        # After a clean stop everything must be there, whatever was synced before.
        (
            BrokerState(True, True, "never", acknowledged=9, boot_id=EARLIER_BOOT),
            THIS_BOOT,
            7,
            0,
            Loss(2, 0, True),
        ),
        (
            BrokerState(True, True, "never", acknowledged=9, boot_id=EARLIER_BOOT),
            THIS_BOOT,
            9,
            0,
            Loss(0, 0, False),
        ),
        # Without a state, a loss shows only as a break in the log.
        (None, THIS_BOOT, 7, 0, Loss(0, 0, False)),
        (None, THIS_BOOT, 7, 9, Loss(2, 0, True)),
    ],
)
def test_measured_loss(state: BrokerState | None, boot: str, last: int, behind: int, expected: Loss) -> None:
    broken = Break("000004.log", 100) if behind else None
    assert measure_loss(WriteAheadLog([], last, behind, broken), state, boot) == expected
