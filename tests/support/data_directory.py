"""Damage to the data directory of a stopped broker, and starts that are to be refused."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict

from mq9fast.storage import broker_state
from mq9fast.storage.broker_state import STATE_FILE, BrokerState, pack_state
from mq9fast.storage.state_file import StateFile
from tests.support.broker import Broker, start_error


def content(directory: Path) -> dict[str, str]:
    """Every file of a directory, and what is in it."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def repeated_start_error(data_dir: Path, *flags: str) -> str:
    """The sentence with which a broker refuses to start, three times over; it has changed nothing."""
    before = content(data_dir)
    said = [start_error("--data-dir", data_dir, *flags, may_log=True) for _ in range(3)]
    assert content(data_dir) == before
    assert said[0] == said[1] == said[2]
    assert str(data_dir) in said[0]
    return said[0]


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


def read_state(data_dir: Path) -> BrokerState:
    """What the last broker noted."""
    file = StateFile(data_dir / STATE_FILE)
    state = broker_state.read_state(file)
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


def rows_of(data_dir: Path, prefix: bytes = b"") -> dict[bytes, bytes]:
    """The stored pairs whose keys begin so."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    rows = {key: value for key, value in db.items() if key.startswith(prefix)}  # type: ignore[union-attr]
    db.close()
    return rows  # type: ignore[return-value]


def change_rows(data_dir: Path, put: dict[bytes, bytes], delete: tuple[bytes, ...] = ()) -> None:
    """Put and delete pairs."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    for key, value in put.items():
        db[key] = value
    for key in delete:
        del db[key]
    db.close()


def number(value: int) -> bytes:
    """As numbers are stored."""
    return value.to_bytes(8, "big")


def overwrite(data_dir: Path, prefix: bytes, ending: bytes, value: bytes) -> None:
    """Put `value` in place of the only one under a key of this prefix that ends so."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    (key,) = [key for key, old in db.items() if key.startswith(prefix) and old.endswith(ending)]
    db[key] = value
    db.close()
