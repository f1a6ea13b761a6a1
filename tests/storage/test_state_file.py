"""The state file beside RocksDB's files: it returns the last record, or the one before a torn write."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mq9fast.errors import StoreError
from mq9fast.storage.state_file import MAX_PAYLOAD_BYTES, SLOT_BYTES, StateFile


def read_from_disk(path: Path) -> bytes | None:
    file = StateFile(path)
    try:
        return file.read()
    finally:
        file.close()


def test_new_file_has_no_record(tmp_path: Path) -> None:
    assert read_from_disk(tmp_path / "state") is None


@settings(max_examples=30)
@given(records=st.lists(st.binary(max_size=MAX_PAYLOAD_BYTES), min_size=1, max_size=5))
def test_last_record_is_read_back(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("state") / "state"
    file = StateFile(path)
    for record in records:
        file.write(record)
        file.sync()
    assert file.read() == records[-1]
    file.close()
    assert read_from_disk(path) == records[-1]


@pytest.mark.parametrize("kept", [0, 1, 10, 20])
def test_torn_write_leaves_the_record_before(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "state"
    file = StateFile(path)
    for record in (b"one", b"two", b"three"):
        file.write(record)
    file.close()
    damaged = bytearray(path.read_bytes())
    damaged[SLOT_BYTES + kept : SLOT_BYTES + 64] = bytes(64 - kept)
    path.write_bytes(damaged)
    assert read_from_disk(path) == b"two"


def test_file_without_a_whole_record_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"not a record at all, but some text of another program")
    with pytest.raises(StoreError, match="is damaged"):
        read_from_disk(path)


def test_failed_write_keeps_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    file = StateFile(path)
    file.write(b"kept")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("pwrite", "fsync"):
        with monkeypatch.context() as broken:
            broken.setattr(os, name, full)
            with pytest.raises(StoreError, match="No space left"):
                file.write(b"lost") if name == "pwrite" else file.sync()
    file.close()
    assert read_from_disk(path) == b"kept"


def test_file_in_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        StateFile(tmp_path / "missing" / "state")


def test_number_is_read_back_beside_the_record(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    assert file.read_sequence() == 0
    file.write(b"record")
    assert file.read_sequence() == 0
    for number in (1, 2**64 - 1, 7):
        file.write_sequence(number)
        assert file.read_sequence() == number
        file.write(b"record %d" % number)
    assert file.read() == b"record 7"
    file.close()
    content = bytearray((tmp_path / "state").read_bytes())
    content[-1] ^= 1
    (tmp_path / "state").write_bytes(content)
    file = StateFile(tmp_path / "state")
    assert file.read_sequence() == 0
    assert file.read() == b"record 7"
    file.close()
