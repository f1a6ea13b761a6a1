"""Whether the files of an open store still have their names.

An fsync of a file that was deleted, or whose directory was, succeeds. What it made durable is gone all the
same once the process ends.
"""

import os
import re
import threading
import time
from pathlib import Path

from mq9fast.errors import StoreError

# A directory may change again within the resolution of its time of change.
SETTLED_NS = 50_000_000
_LOG = re.compile(r"(\d+)\.log")


class Presence:
    """Looks at the directory of an open store. Any thread may call it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = str(path)
        # Open descriptors keep the numbers of inodes from being given to other files.
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        there = os.fstat(self._directory)
        self._identity = (there.st_dev, there.st_ino)
        self._changed_ns = -1
        self._lock = threading.Lock()
        self._log = -1
        self._log_number = 0

    def check(self) -> None:
        """Raise StoreError unless the directory and the newest file of the log are where they were opened."""
        try:
            there = os.stat(self._name)  # noqa: PTH116 (half the cost, after every fsync)
            if (there.st_dev, there.st_ino) != self._identity:
                raise StoreError(f"another directory has taken the place of the data directory {self._path}")
            if there.st_mtime_ns != self._changed_ns:
                with self._lock:
                    self._look()
                settled = time.time_ns() - there.st_mtime_ns > SETTLED_NS
                self._changed_ns = there.st_mtime_ns if settled else -1
        except OSError as error:
            raise StoreError(f"the data directory {self._path} is gone: {error.strerror}") from error

    def _look(self) -> None:
        """Files came or went: the newest of the log is no older than it was, or is the same file."""
        names = [entry.name for entry in self._path.iterdir()]
        number, name = max(
            ((int(found[1]), name) for name in names if (found := _LOG.fullmatch(name))), default=(0, "")
        )
        manifest = any(name.startswith("MANIFEST-") for name in names)
        if "CURRENT" not in names or not manifest or number == 0 or number < self._log_number:
            raise StoreError(f"files of the store were deleted from the data directory {self._path}")
        if number > self._log_number:
            # RocksDB began another file, and deletes the one before when it needs it no more.
            log = os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC)
            self._close_log()
            self._log, self._log_number = log, number
        elif os.fstat(self._log).st_ino != (self._path / name).stat().st_ino:
            raise StoreError(f"{name} in the data directory {self._path} was replaced")

    def _close_log(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def close(self) -> None:
        """Let go of the files."""
        self._close_log()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


def probe(path: Path) -> None:
    """Raise StoreError unless files can be made, written and fsynced in the directory of a store, with room
    to write the content of the log into tables, as opening the store does."""
    # A name that RocksDB deletes by itself, should the broker be killed meanwhile.
    file = path / "000000.dbtmp"
    try:
        disk = os.statvfs(path)
        needed = sum(each.stat().st_size for each in path.glob("*.log")) + (1 << 20)
        if disk.f_bavail * disk.f_frsize < needed:
            raise StoreError(f"the disk has less than {needed} bytes left")
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            file.unlink()
    except OSError as error:
        raise StoreError(f"the data directory {path} cannot be written: {error.strerror}") from error
