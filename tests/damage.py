"""Damage to the data directory of a stopped broker, and starts that are to be refused."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from mq9fast.storage import witness
from mq9fast.storage.state_file import StateFile
from mq9fast.storage.witness import STATE_FILE, State, pack_state
from tests.harness import START_SECONDS, Broker


def content(directory: Path) -> dict[str, str]:
    """Every file of a directory, and what is in it."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def refused(data_dir: Path, *flags: str) -> str:
    """The sentence with which a broker refuses to start, three times over; it has changed nothing."""
    before = content(data_dir)
    said = [refused_once(data_dir, *flags) for _ in range(3)]
    assert content(data_dir) == before
    assert said[0] == said[1] == said[2]
    return said[0]


def refused_once(data_dir: Path, *flags: str) -> str:
    """The sentence with which a broker refuses to start."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mq9fast",
            "--port",
            "0",
            "--monitor-port",
            "-1",
            "--data-dir",
            data_dir,
            *flags,
        ],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    *_, sentence = done.stderr.splitlines()
    assert re.fullmatch(r"mq9fast: .+", sentence)
    assert str(data_dir) in sentence
    return sentence


def log_files(data_dir: Path) -> list[Path]:
    """The files of RocksDB's log."""
    return sorted(data_dir.glob("[0-9]*.log"))


def flip_byte(file: Path, offset: int) -> None:
    """Have one byte of a file rot."""
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([byte[0] ^ 0xFF]))


def cut(file: Path, size: int) -> None:
    """Leave the first `size` bytes of a file."""
    os.truncate(file, size)


def read_state(data_dir: Path) -> State:
    """What the last broker noted."""
    file = StateFile(data_dir / STATE_FILE)
    state = witness.read_state(file)
    file.close()
    assert state is not None
    return state


def note(data_dir: Path, **changes: Any) -> None:
    """Change what a broker that does not run noted."""
    state = read_state(data_dir)
    for name, value in changes.items():
        setattr(state, name, value)
    file = StateFile(data_dir / STATE_FILE)
    file.read()
    file.write(pack_state(state))
    file.close()


def pretend_reboot(data_dir: Path) -> None:
    """Have the state of a killed broker say that the system ran another time."""
    note(data_dir, boot_id="00000000-0000-0000-0000-000000000000")


def copy_of(broker: Broker, to: Path) -> Path:
    """A copy of the directory of a broker that does not run."""
    return Path(shutil.copytree(broker.data_dir, to))
