"""Read, change and damage the data directory of a stopped broker."""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict

from mq9fast.errors import StoreError
from mq9fast.server.timekeeping import Uptime, unpack_saved
from mq9fast.storage import broker_state, layout
from mq9fast.storage.broker_state import STATE_FILE, BrokerState, pack_state
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.state_file import CLOCK_FILE, StateFile
from tests.support.broker import Broker, start_error

OTHER_BOOT = "00000000-0000-0000-0000-000000000000"


def file_hashes(directory: Path) -> dict[str, str]:
    """The SHA-256 of every file below a directory, by path."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def repeated_start_error(data_dir: Path, *flags: str) -> str:
    """The error of three starts in a row: each start fails alike and changes no file."""
    before = file_hashes(data_dir)
    errors = [start_error("--data-dir", data_dir, *flags, may_log=True) for _ in range(3)]
    assert file_hashes(data_dir) == before
    assert errors[0] == errors[1] == errors[2]
    assert str(data_dir) in errors[0]
    return errors[0]


def log_files(data_dir: Path) -> list[Path]:
    """The files of RocksDB's write-ahead log."""
    return sorted(data_dir.glob("[0-9]*.log"))


def flip_byte(file: Path, offset: int) -> None:
    """Invert the bits of one byte of a file."""
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([byte[0] ^ 0xFF]))


def truncate(file: Path, size: int) -> None:
    """Keep only the first `size` bytes of a file."""
    os.truncate(file, size)


def read_state(data_dir: Path) -> BrokerState:
    """The state file that the last broker wrote."""
    file = StateFile(data_dir / STATE_FILE)
    state = broker_state.read_state(file)
    file.close()
    assert state is not None
    return state


def change_state(data_dir: Path, **changes: Any) -> None:
    """Change fields of the state file."""
    state = read_state(data_dir)
    for name, value in changes.items():
        setattr(state, name, value)
    file = StateFile(data_dir / STATE_FILE)
    file.read()
    file.write(pack_state(state))
    file.close()


def pretend_reboot(data_dir: Path) -> None:
    """Change the saved boot ids, as if the machine had rebooted since."""
    if (data_dir / STATE_FILE).exists():  # not in that of a node of a cluster
        change_state(data_dir, boot_id=OTHER_BOOT)
    clock = StateFile(data_dir / CLOCK_FILE)
    with contextlib.suppress(StoreError):
        saved = unpack_saved(clock.read())
        if saved is not None and saved.uptime is not None:
            clock.write(saved._replace(uptime=Uptime(saved.uptime.ms, OTHER_BOOT.encode())).pack())
    clock.close()


def copy_of(broker: Broker, to: Path) -> Path:
    """Copy the data directory of a stopped broker. Returns the path of the copy."""
    return Path(shutil.copytree(broker.data_dir, to))


def rows_of(data_dir: Path, prefix: bytes = b"") -> dict[bytes, bytes]:
    """The stored keys and values, of keys that begin with `prefix`."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    rows = {key: value for key, value in db.items() if key.startswith(prefix)}  # type: ignore[union-attr]
    db.close()
    return rows  # type: ignore[return-value]


def mailbox_sizes(data_dir: Path) -> dict[str, tuple[int, int]]:
    """The messages and bytes of each mailbox, as its record counts them."""
    found = {}
    for key, record in rows_of(data_dir, b"b").items():
        counts = [int.from_bytes(record[at : at + 8], "big") for at in (64, 72, 80, 88)]
        found[key[1:].decode()] = (sum(counts[:3]), counts[3])
    return found


def change_rows(data_dir: Path, put: dict[bytes, bytes], delete: tuple[bytes, ...] = ()) -> None:
    """Put and delete keys."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    for key, value in put.items():
        db[key] = value
    for key in delete:
        del db[key]
    db.close()


def move_values_to_tables(data_dir: Path) -> None:
    """Move the large values from the value log to RocksDB's tables, where formats before 4 had them."""
    store = RocksStore(data_dir)
    batch = store.new_batch()
    for key, value in store.scan(layout.MESSAGES, layout.prefix_end(layout.MESSAGES)):
        batch.rows.put(key, value)
    batch.delete_range(layout.SEGMENTS, layout.prefix_end(layout.SEGMENTS))
    store.write(batch)
    store.close()
    for segment in data_dir.glob("*.seg"):
        segment.unlink()


def pack_number(value: int) -> bytes:
    """A number in the format of the store."""
    return value.to_bytes(8, "big")


def overwrite(data_dir: Path, prefix: bytes, text: bytes, value: bytes) -> None:
    """Replace the value that contains `text`. Exactly one key of this prefix must have such a value."""
    db = Rdict(str(data_dir), Options(raw_mode=True))
    (key,) = [key for key, old in db.items() if key.startswith(prefix) and text in old]
    db[key] = value
    db.close()
