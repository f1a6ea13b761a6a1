"""The shim for failing system calls, with RocksDB and Python."""

import errno
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fault.harness.machine import SMALL_STORE
from tests.support.broker import Broker
from tests.support.faults.shim import KILL, Shim
from tests.support.mailbox import fill_memtable, publish_many
from tests.support.wire_client import Wire

# Runs commands from its input, and prints the result of each.
PROGRAM = """
import os, sys
from rocksdict import Options, Rdict, WriteOptions
db, synced = None, WriteOptions()
synced.sync = True
for line in sys.stdin:
    try:
        eval(line) if "=" not in line else exec(line)
        print("ok", flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


class Process:
    def __init__(self, shim: Shim) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **shim.env},
            text=True,
        )

    def do(self, command: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "db"


OPEN = "db = Rdict({!r}, Options(raw_mode=True))"


def test_calls_of_rocksdb_and_python_fail_while_a_rule_applies(tmp_path: Path, directory: Path) -> None:
    shim = Shim(tmp_path)
    process = Process(shim)
    try:
        do = process.do
        with shim.failing("lock", "LOCK", errno.ENOLCK) as rule:
            assert "No locks available" in do(OPEN.format(str(directory)))
        assert rule.seen
        assert do(OPEN.format(str(directory))) == "ok"
        assert do("db.put(b'one', b'1')") == "ok"
        assert do("db.flush(True)") == "ok"
        with shim.failing("read", "*.sst", errno.EIO) as rule:
            assert "Input/output error" in do("db.get(b'one')")
        assert rule.seen
        assert do("{b'1': 1}[db.get(b'one')]") == "ok"
        with shim.failing("statvfs", "db", errno.ESTALE, most=1):
            assert "Stale file handle" in do(f"os.statvfs({str(directory)!r})")
            assert do(f"os.statvfs({str(directory)!r})") == "ok"
        with shim.failing("write", "*.log", errno.EIO, skip=1) as rule:
            assert do("db.put(b'two', b'2')") == "ok"
            assert "Input/output error" in do("db.put(b'three', b'3')")
        assert rule.seen == 2
        do("db.close()")
        assert do(OPEN.format(str(directory))) == "ok"
        assert do("db.put(b'three', b'3')") == "ok"
        with shim.failing("open", "*.sst", errno.EMFILE):
            assert "Too many open files" in do("db.flush(True)")
        do("db.close()")
        for call, pattern, what in (
            ("read", "CURRENT", "Input/output error"),
            ("read", "MANIFEST*", "Input/output error"),
            ("open", "MANIFEST*", "Input/output error"),
            ("rename", "CURRENT", "Input/output error"),
        ):
            with shim.failing(call, pattern, errno.EIO) as rule:
                assert what in do(OPEN.format(str(directory))), (call, pattern)
            assert rule.seen
    finally:
        process.kill()


def test_fsync_fails_or_waits_as_the_rule_says(tmp_path: Path, directory: Path) -> None:
    shim = Shim(tmp_path)
    process = Process(shim)
    try:
        assert process.do(OPEN.format(str(directory))) == "ok"
        begun = time.monotonic()
        with shim.failing("fsync", "*.log", wait=0.3):
            assert process.do("db.put(b'one', b'1', write_opt=synced)") == "ok"
        assert time.monotonic() - begun >= 0.3
        with shim.failing("fsync", "*.log", errno.EIO):
            assert "Input/output error" in process.do("db.put(b'two', b'2', write_opt=synced)")
    finally:
        process.kill()


def test_power_cut_loses_what_was_not_fsynced(tmp_path: Path, directory: Path) -> None:
    shim = Shim(tmp_path, directory)
    state = directory / "state"
    process = Process(shim)
    try:
        assert process.do(OPEN.format(str(directory))) == "ok"
        assert process.do("db.put(b'kept', b'1', write_opt=synced)") == "ok"
        assert process.do("db.put(b'lost', b'2')") == "ok"
        process.do(f"fd = os.open({str(state)!r}, os.O_RDWR | os.O_CREAT)")
        process.do("os.pwrite(fd, b'first', 0), os.fsync(fd)")
        process.do("os.pwrite(fd, b'F', 0), os.pwrite(fd, b'more', 9)")
        assert state.read_bytes() == b"First\0\0\0\0more"
    finally:
        process.kill()
    shim.cut_power()
    assert state.read_bytes() == b"first"
    process = Process(shim)
    try:
        assert process.do(OPEN.format(str(directory))) == "ok"
        assert process.do("{None: 1}[db.get(b'lost')]") == "ok"
        assert process.do("{b'1': 1}[db.get(b'kept')]") == "ok"
        process.do(f"fd = os.open({str(directory / 'new')!r}, os.O_RDWR | os.O_CREAT)")
        process.do("os.pwrite(fd, b'new', 0), os.fsync(fd)")
    finally:
        process.kill()
    shim.cut_power(lose_names=True)
    assert state.read_bytes() == b"first"
    assert not (directory / "new").exists()


def test_power_cut_undoes_what_was_done_in_a_directory_since_its_fsync(
    tmp_path: Path, directory: Path
) -> None:
    directory.mkdir()
    for name in ("kept", "renamed", "replaced", "unlinked"):
        (directory / name).write_text(name)
    shim = Shim(tmp_path, directory)
    process = Process(shim)
    changes = [
        f"os.unlink({str(directory / 'unlinked')!r})",
        f"os.replace({str(directory / 'renamed')!r}, {str(directory / 'replaced')!r})",
        f"fd = os.open({str(directory / 'new')!r}, os.O_RDWR | os.O_CREAT)",
        "os.pwrite(fd, b'new', 0), os.fsync(fd)",
    ]
    try:
        for change in changes:
            assert process.do(change) == "ok"
        assert {path.name: path.read_text() for path in directory.iterdir()} == {
            "kept": "kept", "replaced": "renamed", "new": "new"
        }  # fmt: skip
    finally:
        process.kill()
    shim.cut_power(lose_names=True)
    assert {path.name: path.read_text() for path in directory.iterdir()} == {
        name: name for name in ("kept", "renamed", "replaced", "unlinked")
    }
    process = Process(shim)
    try:
        for change in (*changes, f"os.fsync(os.open({str(directory)!r}, os.O_RDONLY))"):
            assert process.do(change) == "ok"
    finally:
        process.kill()
    shim.cut_power(lose_names=True)
    assert {path.name: path.read_text() for path in directory.iterdir()} == {
        "kept": "kept", "replaced": "renamed", "new": "new"
    }  # fmt: skip


def test_power_cut_with_chance_tears_files_and_keeps_the_order_in_a_directory(
    tmp_path: Path, directory: Path
) -> None:
    seen, names = set(), set()
    for seed in range(40):
        directory.mkdir()
        (directory / "file").write_bytes(b"a" * 8192)
        shim = Shim(tmp_path, directory)
        process = Process(shim)
        try:
            process.do(f"fd = os.open({str(directory / 'file')!r}, os.O_RDWR)")
            assert process.do("os.pwrite(fd, b'b' * 16384, 0)") == "ok"
            for number in range(3):
                process.do(f"os.rename({str(directory / 'file')!r}, {str(directory / 'other')!r})")
                process.do(f"os.rename({str(directory / 'other')!r}, {str(directory / 'file')!r})")
                process.do(f"os.close(os.open({str(directory / str(number))!r}, os.O_CREAT | os.O_WRONLY))")
        finally:
            process.kill()
        shim.cut_power(chance=random.Random(seed))
        left = {path.name: path.read_bytes() for path in directory.iterdir()}
        # A rename is whole, and what came later is not there without what came before.
        assert len({"file", "other"} & left.keys()) == 1
        created = sorted(left.keys() - {"file", "other"})
        assert created == [str(number) for number in range(len(created))]
        names.add(len(created))
        content = left.get("file") or left["other"]
        seen.add(bytes(content[at] for at in range(0, len(content), 4096)))
        shutil.rmtree(directory)
    assert names == {0, 1, 2, 3}
    # Whole pages of the new file without those before them, and the file of any length between the two.
    assert {b"aa", b"bbbb"} < seen and any(pages.startswith(b"ab") for pages in seen)
    assert {len(pages) for pages in seen} == {2, 3, 4}


def test_rules_apply_to_a_share_of_calls_and_kill(tmp_path: Path) -> None:
    shim = Shim(tmp_path)
    process = Process(shim)
    path = str(tmp_path / "file")
    try:
        process.do(f"fd = os.open({path!r}, os.O_RDWR | os.O_CREAT)")
        with shim.failing("write", "file", errno.ENOSPC, share=0.3, seed=1):
            results = [process.do("os.write(fd, b'x')") for _ in range(200)]
        assert 30 < sum("No space left" in result for result in results) < 90
        shim.fail("written", "file", KILL, skip=1)
        assert process.do("os.write(fd, b'1')") == "ok"
        assert process.do("os.write(fd, b'2')") == ""
    finally:
        process.kill()
    assert Path(path).read_bytes().endswith(b"12")


def test_shim_sees_every_write_of_a_broker(tmp_path: Path) -> None:
    """After a stop, its copies of what was fsynced are what is on the disk: no write has passed it by."""
    data_dir = tmp_path / "data"
    shim = Shim(tmp_path, data_dir)
    broker = Broker(data_dir, "--min-free", "0", env=shim.env, command=SMALL_STORE)
    try:
        for size in (10, 900, 5000, 100_000):
            with Wire(broker.port) as wire:
                wire.create(name="box")
                publish_many(wire, "box", 50, b"x" * size)
                for msg_id in range(0, 40, 3):
                    wire.delete("box", msg_id)
        with Wire(broker.port) as wire:
            fill_memtable(wire, 1 << 20)
        broker.restart()
        assert list(data_dir.glob("*.sst")) and list(data_dir.glob("*.seg"))
        broker.stop()
    finally:
        broker.kill()
    copies = tmp_path / "shim-fsynced"
    compared = 0
    for path in data_dir.iterdir():
        copy = copies / str(path.stat().st_ino)
        if copy.exists():
            assert copy.read_bytes() == path.read_bytes(), path.name
            compared += 1
    # Tables, the manifest, the value log, the state and the clock.
    assert compared >= 6
