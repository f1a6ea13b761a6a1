"""What a broker noted beside its store, for the next start to judge by: RocksDB's files may lose it, and this
file does not share their fate.

    payload of the state file, format 1
    0      1      2      3      4       8              16       24         60        96
    +------+------+------+------+-------+--------------+--------+----------+---------+-----------------------+
    | 1    | made | clean| sync | jumps | acknowledged | synced | store_id | boot_id | marks of files of log |
    +------+------+------+------+-------+--------------+--------+----------+---------+-----------------------+
    mark: number(8) checksum of its first record(4)
"""

import struct
import threading
import time
from pathlib import Path

import msgspec

from mq9fast.errors import StoreError
from mq9fast.storage.state_file import StateFile
from mq9fast.storage.write_ahead_log import deletion_bitmap_of, log_name, log_numbers

STATE_FILE = "mq9fast.state"
SYNC_MODES = ("always", "interval", "never")
# The state survives a power cut at least so soon.
SYNC_SECONDS = 1.0
# The newest files of the log are told from those of another store.
MAX_MARKS = 64
_FORMAT = 1
_FIXED = struct.Struct(">B??BIQQ36s36s")
_MARK = struct.Struct(">QI")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class State(msgspec.Struct):
    """What was acknowledged, and what was synced, as sequence numbers of RocksDB: everything up to them.

    Without fsyncs before answers, `acknowledged` is noted beside the record with each write: that is cheap.
    `jumps` counts how often ids were moved on. `made`: a broker has served this store. `clean`: the last one
    was stopped, and synced everything.
    """

    made: bool = False
    clean: bool = False
    sync: str = SYNC_MODES[0]
    jumps: int = 0
    acknowledged: int = 0
    synced: int = 0
    store_id: str = ""
    boot_id: str = ""
    durable_marks: dict[int, int] = {}


def boot_id() -> str:
    """What the system calls its present run; "" where it does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def pack_state(state: State) -> bytes:
    """The payload of a state."""
    fixed = _FIXED.pack(
        _FORMAT,
        state.made,
        state.clean,
        SYNC_MODES.index(state.sync),
        state.jumps,
        state.acknowledged,
        state.synced,
        state.store_id.encode(),
        state.boot_id.encode(),
    )
    return fixed + b"".join(_MARK.pack(number, mark) for number, mark in state.durable_marks.items())


def read_state(file: StateFile) -> State | None:
    """The state in a file, None if the file is empty. Raises StoreError for one that is no state."""
    payload = file.read()
    if payload is None:
        return None
    state = unpack_state(payload)
    state.acknowledged = max(state.acknowledged, file.noted())
    return state


def unpack_state(payload: bytes) -> State:
    """The state of a payload. Raises StoreError for one that this version cannot have written."""
    if len(payload) < _FIXED.size or payload[0] != _FORMAT or (len(payload) - _FIXED.size) % _MARK.size:
        raise StoreError("the state has no known format")
    _, made, clean, sync, jumps, acknowledged, synced, store_id, boot = _FIXED.unpack_from(payload)
    if sync >= len(SYNC_MODES):
        raise StoreError("the state has no known format")
    return State(
        made,
        clean,
        SYNC_MODES[sync],
        jumps,
        acknowledged,
        synced,
        store_id.rstrip(b"\0").decode(),
        boot.rstrip(b"\0").decode(),
        dict(_MARK.iter_unpack(payload[_FIXED.size :])),
    )


class Witness:
    """Keeps the state file up to date. Every method raises StoreError; any thread may call any of them."""

    def __init__(self, file: StateFile, state: State) -> None:
        self.state = state
        self._file = file
        self._lock = threading.Lock()
        self._synced_at = 0.0

    def begin(self) -> None:
        """Write the state, and have it survive a power cut."""
        with self._lock:
            # First: a number above those of the log, from before a loss, would be taken for another.
            self._file.note(self.state.acknowledged)
            self._file.write(pack_state(self.state))
        self._sync()

    def written(self, sequence: int) -> None:
        """Everything up to `sequence` is in the log, and unless it takes an fsync may be acknowledged."""
        if self.state.sync != "always":
            self._file.note(sequence)

    def synced(self, sequence: int, directory: Path) -> None:
        """Everything up to `sequence` survives a power cut."""
        is_due = time.monotonic() - self._synced_at > SYNC_SECONDS
        if is_due:
            self.mark(directory)
        with self._lock:
            if sequence <= self.state.synced:
                return
            self.state.synced = sequence
            self.state.acknowledged = max(sequence, self.state.acknowledged)
            self._file.write(pack_state(self.state))
        if is_due:
            self._sync()

    def mark(self, directory: Path) -> None:
        """Note which files of the log there are, for the next write of the state."""
        try:
            newest = log_numbers(directory)[-MAX_MARKS:]
            durable_marks = {number: deletion_bitmap_of(directory / log_name(number)) for number in newest}
        except OSError as error:
            raise StoreError(f"the log cannot be read: {error.strerror}") from error
        with self._lock:
            self.state.durable_marks = {
                number: mark for number, mark in durable_marks.items() if mark is not None
            }

    def end(self, directory: Path) -> None:
        """The store is to be closed, and all of it survives a power cut."""
        self.mark(directory)
        with self._lock:
            self.state.clean = True
            self._file.write(pack_state(self.state))
        self._sync()

    def _sync(self) -> None:
        self._synced_at = time.monotonic()
        self._file.sync()
