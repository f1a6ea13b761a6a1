"""The state that a broker saves beside its store, so that the next start can detect lost changes.

RocksDB's own files cannot tell that they have lost changes, so this state is in the file `mq9fast.state`.
`data_directory.py` reads it at a start, and `RocksStore` updates it after every write and sync.

    payload of the state file, format 1
    0      1      2      3      4       8              16       24         60        96
    +------+------+------+------+-------+--------------+--------+----------+---------+-------------------+
    | 1    |served| clean| sync | epoch | acknowledged | synced | store_id | boot_id | files of the log  |
    +------+------+------+------+-------+--------------+--------+----------+---------+-------------------+
    file of the log: number(8), checksum of its first record(4)
"""

import struct
import threading
import time
from pathlib import Path

import msgspec

from mq9fast.errors import StoreError
from mq9fast.storage.state_file import StateFile, read_record
from mq9fast.storage.write_ahead_log import first_record_checksum, log_name, log_numbers

STATE_FILE = "mq9fast.state"
SYNC_MODES = ("always", "interval", "never")
# The state itself is synced at most this often.
SYNC_SECONDS = 1.0
# The checksums of the newest files of the log are kept.
MAX_LOG_FILES = 64
_FORMAT = 1
_FIXED = struct.Struct(">B??BIQQ36s36s")
_LOG_FILE = struct.Struct(">QI")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class BrokerState(msgspec.Struct):
    """What a broker had acknowledged and synced. Both are sequence numbers of RocksDB, and cover all below.

    `served`: a broker has served this store. `clean`: the last broker stopped and had synced everything.
    `id_epoch`: how often a start has raised it because ids may have been lost. `log_checksums`: the checksum
    of the first record of each file of the log, by the file's number.

    Under `interval` and `never`, each write also puts `acknowledged` into the file's sequence number: that is
    cheaper than a new record.
    """

    served: bool = False
    clean: bool = False
    sync: str = SYNC_MODES[0]
    id_epoch: int = 0
    acknowledged: int = 0
    synced: int = 0
    store_id: str = ""
    boot_id: str = ""
    log_checksums: dict[int, int] = {}


def boot_id() -> str:
    """The id of the operating system's current run; "" if the system has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def pack_state(state: BrokerState) -> bytes:
    """The payload of a state."""
    fixed = _FIXED.pack(
        _FORMAT,
        state.served,
        state.clean,
        SYNC_MODES.index(state.sync),
        state.id_epoch,
        state.acknowledged,
        state.synced,
        state.store_id.encode(),
        state.boot_id.encode(),
    )
    return fixed + b"".join(_LOG_FILE.pack(*log_file) for log_file in state.log_checksums.items())


def read_state(file: StateFile) -> BrokerState | None:
    """The state in a file, None if the file is empty. Raises StoreError if the state cannot be read."""
    payload = file.read()
    if payload is None:
        return None
    return _with_sequence(payload, file.read_sequence())


def load_state(path: Path) -> BrokerState | None:
    """The state in the file `path`, None if it is missing or empty. Opens it for reading only. Raises
    StoreError if the state cannot be read."""
    try:
        payload, sequence = read_record(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
    return None if payload is None else _with_sequence(payload, sequence)


def _with_sequence(payload: bytes, sequence: int) -> BrokerState:
    state = unpack_state(payload)
    state.acknowledged = max(state.acknowledged, sequence)
    return state


def unpack_state(payload: bytes) -> BrokerState:
    """The state of a payload. Raises StoreError if this version cannot have written the payload."""
    if len(payload) < _FIXED.size or payload[0] != _FORMAT or (len(payload) - _FIXED.size) % _LOG_FILE.size:
        raise StoreError(f"{STATE_FILE} has an unknown format")
    _, served, clean, sync, id_epoch, acknowledged, synced, store_id, boot = _FIXED.unpack_from(payload)
    if sync >= len(SYNC_MODES) or not (store_id + boot).isascii():
        raise StoreError(f"{STATE_FILE} has an unknown format")
    return BrokerState(
        served,
        clean,
        SYNC_MODES[sync],
        id_epoch,
        acknowledged,
        synced,
        store_id.rstrip(b"\0").decode(),
        boot.rstrip(b"\0").decode(),
        dict(_LOG_FILE.iter_unpack(payload[_FIXED.size :])),
    )


class StateWriter:
    """Keeps a state file up to date. Every method raises StoreError; any thread may call any of them."""

    def __init__(self, file: StateFile, state: BrokerState) -> None:
        self.state = state
        self._file = file
        self._lock = threading.Lock()
        self._synced_at = 0.0

    def begin(self) -> None:
        """Write the state and sync it."""
        with self._lock:
            # Replace the sequence number first: after a loss it may be above those of the log, and a later
            # start would read it as a loss again.
            self._file.write_sequence(self.state.acknowledged)
            self._file.write(pack_state(self.state))
        self._sync()

    def record_write(self, sequence: int) -> None:
        """Changes up to `sequence` are in the log. Unless `sync` is `always` they may be acknowledged now."""
        if self.state.sync != "always":
            self._file.write_sequence(sequence)

    def record_sync(self, sequence: int, directory: Path) -> None:
        """Changes up to `sequence` are durable. Syncs the state if that is due."""
        is_due = self.is_due
        if is_due:
            self.read_log_files(directory)
        if self.note_sync(sequence) and is_due:
            self._sync()

    @property
    def is_due(self) -> bool:
        """Whether the state itself has to be synced again."""
        return time.monotonic() - self._synced_at > SYNC_SECONDS

    def note_sync(self, sequence: int) -> bool:
        """Write that changes up to `sequence` are durable. If that is known, do nothing and return false."""
        with self._lock:
            if sequence <= self.state.synced:
                return False
            self.state.synced = sequence
            self.state.acknowledged = max(sequence, self.state.acknowledged)
            self._file.write(pack_state(self.state))
            return True

    def read_log_files(self, directory: Path) -> None:
        """Take the checksums of the log's files into the state, for its next write."""
        try:
            newest = log_numbers(directory)[-MAX_LOG_FILES:]
            checksums = {number: first_record_checksum(directory / log_name(number)) for number in newest}
        except OSError as error:
            raise StoreError(
                f"the write-ahead log in the data directory {directory} cannot be read: {error.strerror}"
            ) from error
        with self._lock:
            self.state.log_checksums = {
                number: checksum for number, checksum in checksums.items() if checksum is not None
            }

    def record_clean_stop(self, directory: Path) -> None:
        """The broker stops, and every change is durable."""
        self.read_log_files(directory)
        with self._lock:
            self.state.clean = True
            self._file.write(pack_state(self.state))
        self._sync()

    def _sync(self) -> None:
        self._synced_at = time.monotonic()
        self._file.sync()
