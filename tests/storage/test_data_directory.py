"""What a start does with its data directory: use an empty one, open an intact store, refuse anything else."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from mq9fast.errors import StartError
from mq9fast.storage import directory_checks, layout
from mq9fast.storage.broker_state import STATE_FILE, BrokerState, StateWriter
from mq9fast.storage.manifest import read_manifest
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.rocks_database import describe_open_error
from mq9fast.storage.state_file import StateFile
from mq9fast.storage.write_ahead_log import read_log
from tests.support.broker import Broker, start_error
from tests.support.data_directory import file_hashes, log_files, read_state, repeated_start_error, truncate
from tests.support.mailbox import publish_many, read_stored
from tests.support.waiting import START_SECONDS, WAIT_SECONDS, wait_until
from tests.support.wire_client import Wire


def check_serves(data_dir: Path) -> None:
    """Start a broker, store a message, stop it."""
    broker = Broker(data_dir)
    try:
        with Wire(broker.port) as wire:
            wire.create(name="box")
            assert "msg_id" in wire.msg("box", "stored")
        assert broker.stop() == 0
    finally:
        broker.end()


def test_files_of_a_data_directory_keep_their_names(tmp_path: Path) -> None:
    """A renamed file would be missing after an upgrade."""
    check_serves(tmp_path / "data")
    rocksdb_files = r"CURRENT|IDENTITY|LOCK|LOG|(MANIFEST|OPTIONS)-\d+|\d+\.(log|sst)|rocksdict-config\.json"
    names = {file.name for file in (tmp_path / "data").iterdir()}
    assert {name for name in names if not re.fullmatch(rocksdb_files, name)} == {
        "mq9fast.state",
        "mq9fast.clock",
    }


# Directories without a store.


def test_directory_with_only_files_of_the_system_is_new(tmp_path: Path) -> None:
    for name in ("lost+found", ".Trash-1000", ".snapshot"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / ".DS_Store").write_bytes(b"desktop")
    check_serves(tmp_path / "data")
    assert (tmp_path / "data" / ".DS_Store").read_bytes() == b"desktop"


@pytest.mark.parametrize(
    "names",
    [
        ["20261127.log", "000007.sst", "notes.txt"],
        ["000004.log"],
        ["LOCK", "LOG", "IDENTITY"],
        ["MANIFEST-000005", "000009.sst"],
        ["mq9fast.state", "photo.jpg"],
        ["sub/directory/file"],
    ],
    ids=lambda names: names[0],
)
def test_directory_with_other_files_is_refused_and_unchanged(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"the user's own {name}")
    assert "holds files that are not mq9fast's" in repeated_start_error(tmp_path)
    assert "holds files that are not mq9fast's" in repeated_start_error(tmp_path, "--accept-loss")


@pytest.mark.parametrize("raw", [True, False], ids=["bytes", "objects"])
@pytest.mark.parametrize("by", ["rocksdict", "RocksDB"])
def test_other_rocksdb_database_is_refused_and_unchanged(tmp_path: Path, by: str, raw: bool) -> None:
    database = Rdict(str(tmp_path / "data"), Options(raw_mode=raw))
    database[b"other"] = b"1"
    database.flush()
    database[b"more"] = b"2"
    del database
    if by == "RocksDB":
        (tmp_path / "data" / "rocksdict-config.json").unlink()
    assert "holds a RocksDB database that is not mq9fast's" in repeated_start_error(
        tmp_path / "data", "--accept-loss"
    )


def test_unreadable_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "CURRENT").write_text("MANIFEST-000005\n")
    assert "cannot be opened: " in repeated_start_error(tmp_path / "data", "--accept-loss")


@pytest.mark.parametrize("left", ["state", "files"])
def test_directory_of_a_killed_first_start_is_used(tmp_path: Path, left: str) -> None:
    data = tmp_path / "data"
    check_serves(tmp_path / "other")
    data.mkdir()
    state = StateFile(data / STATE_FILE)
    StateWriter(state, BrokerState()).begin()
    state.close()
    if left == "files":
        for name in ("LOCK", "LOG", "IDENTITY", "rocksdict-config.json"):
            shutil.copy(tmp_path / "other" / name, data / name)
        (data / "MANIFEST-000001").write_bytes(b"half")
        (data / "000001.dbtmp").write_bytes(b"MANIFEST")
    check_serves(data)


@pytest.mark.parametrize("files", range(1, 9))
def test_start_succeeds_after_a_kill_during_the_first_start(tmp_path: Path, files: int) -> None:
    """The broker is killed once it has created `files` files. The next start succeeds."""
    data = tmp_path / "data"
    arguments = ("--port", "0", "--monitor-port", "-1", "--data-dir", str(data))
    process = subprocess.Popen([sys.executable, "-m", "mq9fast", *arguments], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and (not data.exists() or len(list(data.iterdir())) < files):
            pass
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
    check_serves(data)


def test_parents_of_created_directories_are_fsynced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(directory_checks, "sync_directory", synced.append)
    directory_checks.make_directory(tmp_path / "a" / "b" / "c")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    directory_checks.make_directory(tmp_path / "a" / "b" / "c")
    assert len(synced) == 3


# A store with one damaged file.


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Two killed stores with different messages in tables and in the log."""
    made = []
    for name, count in (("one", 3000), ("two", 3500)):
        broker = Broker(tmp_path_factory.mktemp("stores") / name, "--sync", "never")
        try:
            with Wire(broker.port) as wire:
                wire.create(name="box")
                publish_many(wire, "box", count, name.encode() * 50)
                # A reply of the store's: everything before it is written.
                assert wire.delete("box", count) == {"deleted": False}
            broker.restart(kill=True)
            with Wire(broker.port) as wire:
                for number in range(count // 100):
                    wire.msg("box", f"{number} of {name}")
            wait_until(lambda data=broker.data_dir: last_logged(data) == read_state(data).acknowledged)
        finally:
            broker.end()
        made.append(broker.data_dir)
    yield made[0], made[1]


def last_logged(data: Path) -> int:
    """The last sequence number in the log."""
    return read_log(data, read_manifest(data)).last


def rows(data: Path) -> dict[bytes, bytes]:
    """All rows of a store but the one that a start changes itself."""
    store = RocksStore(data)
    try:
        return {key: value for key, value in store.scan(b"", b"\xff") if key != layout.ID_EPOCH_KEY}
    finally:
        store.close()


def remove(file: Path, other: Path) -> None:
    file.unlink()


def make_empty(file: Path, other: Path) -> None:
    file.write_bytes(b"")


def cut_in_half(file: Path, other: Path) -> None:
    truncate(file, file.stat().st_size // 2)


def cut_by_a_byte(file: Path, other: Path) -> None:
    truncate(file, max(file.stat().st_size - 1, 0))


def take_from_other_store(file: Path, other: Path) -> None:
    """Replace the file by that of the other store."""
    kind = re.sub(r"\d+", "*", file.name)
    shutil.copy(max(other.glob(kind)), file)


DAMAGES = [remove, make_empty, cut_in_half, cut_by_a_byte, take_from_other_store]
OUTCOMES = {
    "CURRENT": "refused",
    "MANIFEST-*": "refused",
    "[0-9]*.sst": "refused",
    "[0-9]*.log": "refused",
    "mq9fast.state": "refused",
    "IDENTITY": "opened",
    "OPTIONS-*": "opened",
    "LOCK": "opened",
    "rocksdict-config.json": "opened",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.replace("_", " "))
@pytest.mark.parametrize("kind", OUTCOMES)
def test_damaged_file_is_refused_or_does_not_matter(
    stores: tuple[Path, Path], tmp_path: Path, kind: str, damage: Callable[[Path, Path], None]
) -> None:
    one, two = (Path(shutil.copytree(store, tmp_path / store.name)) for store in stores)
    whole = rows(Path(shutil.copytree(one, tmp_path / "whole")))
    damage(max(one.glob(kind)), two)
    before = file_hashes(one)
    outcomes = []
    for _ in range(3):
        try:
            assert rows(one) == whole
        except StartError as error:
            assert file_hashes(one) == before
            outcomes.append(str(error))
            assert str(one) in str(error)
        else:
            outcomes.append("opened")
    assert len(set(outcomes)) == 1
    # Two CURRENT files are equal. RocksDB redoes an edit that was cut off. The state file has two copies.
    equal = kind == "CURRENT" and damage is take_from_other_store
    if not equal and not (kind in {"MANIFEST-*", "mq9fast.state"} and "cut" in damage.__name__):
        assert (outcomes[0] == "opened") == (OUTCOMES[kind] == "opened"), outcomes


def test_store_without_current_is_refused_by_every_start(stores: tuple[Path, Path], tmp_path: Path) -> None:
    data = Path(shutil.copytree(stores[0], tmp_path / "data"))
    current = (data / "CURRENT").read_bytes()
    (data / "CURRENT").unlink()
    assert "CURRENT" in repeated_start_error(data)
    (data / "CURRENT").write_bytes(current)
    check_serves(data)


def test_log_of_another_store_with_the_same_numbers_is_refused(
    stores: tuple[Path, Path], tmp_path: Path
) -> None:
    """Two new stores with the same operations have the same sequence numbers."""
    one, two = tmp_path / "one", tmp_path / "two"
    for data in (one, two):
        broker = Broker(data)
        with Wire(broker.port) as wire:
            wire.create(name="box")
            wire.msg("box", "the same")
        broker.end()
    shutil.copy(log_files(two)[0], log_files(one)[0])
    assert "belongs to another store" in repeated_start_error(one)


def test_accept_loss_starts_without_the_state_file(stores: tuple[Path, Path], tmp_path: Path) -> None:
    data = Path(shutil.copytree(stores[0], tmp_path / "data"))
    (data / STATE_FILE).unlink()
    assert STATE_FILE in repeated_start_error(data)
    broker = Broker(data, "--accept-loss")
    given = set(read_stored(broker.port, "box"))
    assert len(given) == 3030
    with Wire(broker.port) as wire:
        assert wire.msg("box", "more")["msg_id"] > max(given) + 10**6
    broker.end()
    check_serves(data)


# Locks.


def test_directory_in_use_by_an_earlier_version_is_refused(tmp_path: Path) -> None:
    """A broker of an earlier version holds only RocksDB's lock."""
    check_serves(tmp_path / "data")
    script = (
        "import sys; from rocksdict import *; db = Rdict(sys.argv[1], Options(raw_mode=True));"
        "print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "data"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin is not None and other.stdout is not None
    try:
        assert other.stdout.readline() == b"open\n"
        assert "in use by another broker" in start_error("--data-dir", tmp_path / "data", may_log=True)
    finally:
        other.communicate(timeout=WAIT_SECONDS)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EACCES])
def test_failed_lock_is_reported_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(StartError, match=f"cannot be locked: {os.strerror(number)}"):
        RocksStore(tmp_path / "data")


def test_error_of_rocksdbs_lock_has_its_reason() -> None:
    text = "IO error: While lock file: /data/LOCK: "
    for number in (errno.ENOLCK, errno.EACCES):
        sentence = describe_open_error(Path("data"), Exception(text + os.strerror(number)))
        assert sentence.endswith(f"cannot be locked: {os.strerror(number)}")
    sentence = describe_open_error(Path("data"), Exception(text + os.strerror(errno.EAGAIN)))
    assert "is in use by another broker" in sentence


# Paths.


@pytest.mark.parametrize("by", ["flag", "variable", "file"])
def test_non_ascii_path_works_in_the_c_locale(tmp_path: Path, by: str) -> None:
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    flags: tuple[str, ...] = ("--data-dir", "d\u00e4t\u00e4")
    if by == "variable":
        env["MQ9FAST_DATA_DIR"], flags = "d\u00e4t\u00e4", ()
    if by == "file":
        (tmp_path / "config.toml").write_text('data_dir = "d\u00e4t\u00e4"\n', encoding="utf-8")
        flags = ("--config", "config.toml")
    process = subprocess.Popen(
        [sys.executable, "-m", "mq9fast", "--port", "0", "--monitor-port", "-1", *flags],
        env={**os.environ, **env, "PYTHONPATH": str(Path.cwd())},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert b"listening" in process.stdout.readline()
        assert (tmp_path / "d\u00e4t\u00e4" / "CURRENT").exists()
    finally:
        process.terminate()
        _, printed = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert printed == b""


def test_only_the_user_of_the_broker_may_read_a_new_directory(tmp_path: Path) -> None:
    check_serves(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o750)
    check_serves(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o750


def test_path_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/d\xe4t\xe4"
    done = subprocess.run(
        [sys.executable, "-m", "mq9fast", "--port", "0", "--monitor-port", "-1", b"--data-dir", path],
        capture_output=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 1
    assert b"not UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr
