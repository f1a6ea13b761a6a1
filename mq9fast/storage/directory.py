"""The data directory, before RocksDB sees it: made, locked, and told from a directory of something else.

RocksDB makes a new store wherever it finds none, and deletes what it takes for its own old files. So nothing
is left to it that is not decided here, without touching a byte.
"""

import errno
import fcntl
import os
import re
import struct
from pathlib import Path

from mq9fast.errors import StartError, spoiled
from mq9fast.storage.manifest import Manifest
from mq9fast.storage.witness import STATE_FILE, State
from mq9fast.storage.write_ahead_log import begins_whole, deletion_bitmap_of, log_name, sync_directory

# RocksDB counts its files; one far ahead of the count is none of them.
MAX_FILES_AHEAD = 1_000_000

# What file systems and desktops put into any directory.
_NOT_FILES_OF_A_USER = re.compile(
    r"lost\+found|System Volume Information|\$RECYCLE\.BIN|Thumbs\.db|desktop\.ini|@eaDir|"
    r"\.(DS_Store|Trash.*|Trashes|fseventsd|Spotlight-V100|TemporaryItems|snapshots?|zfs|nfs.*|fuse_hidden.*)"
)
# What a first start may have made before CURRENT, without which there is no store.
_BEFORE_CURRENT = re.compile(r"LOCK|LOG(\.old\..*)?|IDENTITY|MANIFEST-\d+|\d+\.dbtmp|rocksdict-config\.json")


def make_directory(path: Path) -> None:
    """Make a directory and those above it, and have them survive a power cut. Raises OSError."""
    made = []
    above = path
    while not above.exists():
        made.append(above)
        above = above.parent
    path.mkdir(parents=True, exist_ok=True)
    for directory in reversed(made):
        sync_directory(directory.parent)


def names_in(path: Path) -> list[str]:
    """The names in a directory but for those that file systems put there. Raises OSError."""
    names = (file.name for file in path.iterdir())
    return sorted(name for name in names if not _NOT_FILES_OF_A_USER.fullmatch(name))


def check_that_new(path: Path, names: list[str], state: State | None) -> None:
    """Raise StartError unless a store may be made among `names`, none of which is CURRENT.

    Only what a first start that was killed leaves may be there.
    """
    if state is not None and state.made:
        raise spoiled(path, "CURRENT", "is missing")
    begun = state is not None or STATE_FILE in names
    foreign = [name for name in names if not (begun and _is_of_a_beginning(path / name))]
    if foreign:
        raise StartError(
            f"the data directory {path} holds what is not mq9fast's, such as {foreign[0]!r}: "
            "name an empty directory or a new one"
        )


def _is_of_a_beginning(file: Path) -> bool:
    name = file.name
    return name == STATE_FILE or bool(_BEFORE_CURRENT.fullmatch(name)) or file.stat().st_size == 0


def check_files(path: Path, names: list[str], manifest: Manifest) -> None:
    """Raise StartError unless the tables of the MANIFEST are there, and all files that RocksDB would take for
    its own are that. Raises OSError."""
    for name in names:
        found = re.fullmatch(r"(\d+)\.(log|sst)", name)
        if found is None:
            continue
        number = int(found[1])
        if name != f"{number:06d}.{found[2]}" or number > manifest.next_file + MAX_FILES_AHEAD:
            raise StartError(f"{name} in the data directory {path} is not mq9fast's: move it away")
    for number, size in manifest.tables.items():
        name = f"{number:06d}.sst"
        if name not in names:
            raise spoiled(path, name, "is missing")
        found_size = (path / name).stat().st_size
        if found_size != size:
            raise spoiled(path, name, f"has {found_size} bytes instead of {size}")


def check_owner(path: Path, manifest: Manifest, state: State | None) -> None:
    """Raise StartError if the files are not all of one store. Raises OSError."""
    identity = path / "IDENTITY"
    told = identity.read_text(errors="replace").strip() if identity.is_file() else ""
    if state is None:
        if told not in {"", manifest.store_id}:
            raise spoiled(path, manifest.name, "is another store's")
        return
    if state.store_id != manifest.store_id:
        culprit = STATE_FILE if told == manifest.store_id else manifest.name
        raise spoiled(path, culprit, "is another store's")
    for number, mark in state.durable_marks.items():
        file = path / log_name(number)
        found = deletion_bitmap_of(file) if number >= manifest.first_log else None
        if found not in {mark, None} and begins_whole(file):
            raise spoiled(path, file.name, "is another store's")


def lock(descriptor: int, path: Path) -> None:
    """Lock the state file of the directory `path` for this broker. Raises StartError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise lock_error(path, error) from error


def look_at_lock(path: Path) -> None:
    """Raise StartError if another process has RocksDB's own lock, as a broker without a state file does."""
    try:
        with (path / "LOCK").open("r+b") as file:
            asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            told = fcntl.fcntl(file.fileno(), fcntl.F_GETLK, asked)
    except FileNotFoundError:
        return
    except OSError as error:
        raise lock_error(path, error) from error
    if struct.unpack_from("h", told)[0] != fcntl.F_UNLCK:
        raise StartError(in_use(path))


def lock_error(path: Path, error: OSError) -> StartError:
    """Why a directory could not be locked."""
    if error.errno in {errno.EWOULDBLOCK, errno.EAGAIN}:
        return StartError(in_use(path))
    return StartError(f"the data directory {path} cannot be locked: {error.strerror}")


def in_use(path: Path) -> str:
    """The sentence that another broker has the directory."""
    return f"the data directory {path} is in use by another broker"
