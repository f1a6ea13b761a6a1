"""Checks of a data directory that run before RocksDB opens it: new or used, complete, ours, and unlocked.

RocksDB creates a store wherever it finds none, and deletes files that look like old files of its own. So
these checks decide first, and they change no file. `storage/data_directory.py` calls them at a start.
"""

import errno
import fcntl
import os
import re
import struct
from pathlib import Path

from mq9fast.errors import StartError, bad_file_error
from mq9fast.storage.broker_state import STATE_FILE, BrokerState
from mq9fast.storage.manifest import Manifest
from mq9fast.storage.write_ahead_log import (
    first_record_checksum,
    first_record_is_whole,
    log_name,
    sync_directory,
)

# Marks the directory of a node of a cluster. The node locks it.
REPLICA_FILE = "mq9fast.replica"
# RocksDB numbers its files upwards. A number so far above the MANIFEST's next one is not RocksDB's.
MAX_FILES_AHEAD = 1_000_000

# File systems and desktops put these into any directory.
_SYSTEM_FILES = re.compile(
    r"lost\+found|System Volume Information|\$RECYCLE\.BIN|Thumbs\.db|desktop\.ini|@eaDir|"
    r"\.(DS_Store|Trash.*|Trashes|fseventsd|Spotlight-V100|TemporaryItems|snapshots?|zfs|nfs.*|fuse_hidden.*)"
)
# RocksDB writes these before CURRENT, which completes a new store.
_BEFORE_CURRENT = re.compile(r"LOCK|LOG(\.old\..*)?|IDENTITY|MANIFEST-\d+|\d+\.dbtmp|rocksdict-config\.json")


def make_directory(path: Path) -> None:
    """Create a directory, which only its user may read, and its missing parents, durably. Raises OSError."""
    created = []
    missing = path
    while not missing.exists():
        created.append(missing)
        missing = missing.parent
    path.mkdir(0o700, parents=True, exist_ok=True)
    for directory in reversed(created):
        sync_directory(directory.parent)


def file_names(path: Path) -> list[str]:
    """The sorted names in a directory, without those of file systems and desktops. Raises OSError."""
    names = (file.name for file in path.iterdir())
    return sorted(name for name in names if not _SYSTEM_FILES.fullmatch(name))


def check_not_replica(path: Path, names: list[str]) -> None:
    """Raise StartError if the directory, which holds `names`, is that of a node of a cluster."""
    if REPLICA_FILE in names:
        raise StartError(
            f"the data directory {path} is that of a node of a cluster: start it as a node of that cluster, "
            "or set data_dir to another directory"
        )


def check_new(path: Path, names: list[str], state: BrokerState | None) -> None:
    """Raise StartError unless a store may be created in `path`, which holds `names` and no CURRENT.

    The directory may hold only files that a killed first start left behind.
    """
    if state is not None and state.served:
        raise bad_file_error(path, "CURRENT", "is missing")
    unfinished = state is not None or STATE_FILE in names
    foreign = [name for name in names if not (unfinished and _is_of_unfinished_store(path / name))]
    if foreign:
        raise StartError(
            f"the data directory {path} holds files that are not mq9fast's, such as {foreign[0]!r}: "
            "set data_dir to an empty or a new directory"
        )


def _is_of_unfinished_store(file: Path) -> bool:
    name = file.name
    return name == STATE_FILE or bool(_BEFORE_CURRENT.fullmatch(name)) or file.stat().st_size == 0


def check_files(path: Path, names: list[str], manifest: Manifest) -> None:
    """Raise StartError if a table of the MANIFEST is missing or has another size, or if RocksDB would take a
    foreign file for its own. Raises OSError.

    If the MANIFEST has a damaged end, that end was durable: it is the MANIFEST that is wrong.
    """
    for name in names:
        found = re.fullmatch(r"(\d+)\.(log|sst)", name)
        if found is None:
            continue
        number = int(found[1])
        if name != f"{number:06d}.{found[2]}" or number > manifest.next_file + MAX_FILES_AHEAD:
            raise StartError(f"the file {name} in the data directory {path} is not mq9fast's: move it away")
    for number, reason in changed_tables(path, manifest).items():
        if manifest.damaged_from is not None:
            raise bad_file_error(path, manifest.name, "is damaged")
        raise bad_file_error(path, f"{number:06d}.sst", reason)


def changed_tables(path: Path, manifest: Manifest) -> dict[int, str]:
    """The tables of a MANIFEST that are missing in `path` or have another size: by number, a clause that says
    so. Raises OSError."""
    found = {}
    for number, size in manifest.tables.items():
        try:
            found_size = (path / f"{number:06d}.sst").stat().st_size
        except FileNotFoundError:
            found[number] = "is missing"
            continue
        if found_size != size:
            found[number] = f"has {found_size} bytes instead of {size}"
    return found


def check_same_store(path: Path, manifest: Manifest, state: BrokerState | None) -> None:
    """Raise StartError unless MANIFEST, IDENTITY, state file and log belong to the same store. Raises
    OSError.

    Without a state, IDENTITY alone is compared with the MANIFEST.
    """
    identity = path / "IDENTITY"
    identity_id = identity.read_text(errors="replace").strip() if identity.is_file() else ""
    if state is None:
        if identity_id not in {"", manifest.store_id}:
            raise bad_file_error(path, manifest.name, "belongs to another store")
        return
    if state.store_id != manifest.store_id:
        culprit = STATE_FILE if identity_id == manifest.store_id else manifest.name
        raise bad_file_error(path, culprit, "belongs to another store")
    for number, checksum in state.log_checksums.items():
        file = path / log_name(number)
        found = first_record_checksum(file) if number >= manifest.first_log else None
        # If the first record is damaged, its checksum identifies nothing.
        if found not in {checksum, None} and first_record_is_whole(file):
            raise bad_file_error(path, file.name, "belongs to another store")


def lock(descriptor: int, path: Path) -> None:
    """Lock the open state file of the data directory `path` for this broker. Raises StartError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise lock_error(path, error) from error


def check_rocksdb_lock(path: Path) -> None:
    """Raise StartError if another process holds RocksDB's LOCK.

    A broker of a version without a state file holds that lock only.
    """
    try:
        with (path / "LOCK").open("rb") as file:
            request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(file.fileno(), fcntl.F_GETLK, request)
    except FileNotFoundError:
        return
    except OSError as error:
        raise lock_error(path, error) from error
    if struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK:
        raise StartError(in_use(path))


def lock_error(path: Path, error: OSError) -> StartError:
    """The StartError for a lock that failed with `error`."""
    if error.errno in {errno.EWOULDBLOCK, errno.EAGAIN}:
        return StartError(in_use(path))
    return StartError(f"the data directory {path} cannot be locked: {error.strerror}")


def in_use(path: Path) -> str:
    """The sentence for a data directory that another broker has locked."""
    return (
        f"the data directory {path} is in use by another broker: "
        "stop that broker, or set data_dir to another directory"
    )
