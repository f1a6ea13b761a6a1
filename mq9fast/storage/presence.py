"""Checks that the files of an open store still exist under their names.

An fsync of a deleted file succeeds, and so does one in a deleted directory. The synced data is lost all the
same when the process ends. So `RocksStore` calls `Presence.check` after every fsync, and `probe` before it
opens a failed store again. `probe` writes one temporary file; nothing else here writes.
"""

import os
import re
import threading
import time
from pathlib import Path

from mq9fast.errors import StoreError

# Two changes of a directory within this time may leave the same mtime.
MTIME_RESOLUTION_NS = 50_000_000
_LOG = re.compile(r"(\d+)\.log")


class Presence:
    """Watches the directory of an open store. Any thread may call any method."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = str(path)
        # While a descriptor is open, the file system does not reuse the inode number.
        self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(self._directory)
        self._identity = (status.st_dev, status.st_ino)
        self._checked_mtime_ns = -1
        self._lock = threading.Lock()
        self._log = -1
        self._log_number = 0
        self._found: list[tuple[str, int]] = []  # path and inode of the files that `check` has looked for

    def check(self) -> None:
        """Raise StoreError if the directory, the newest file of the log, CURRENT or the MANIFEST is gone, or
        if the directory or that file of the log was replaced."""
        try:
            status = os.stat(self._name)  # noqa: PTH116 (half the cost, after every fsync)
            if (status.st_dev, status.st_ino) != self._identity:
                raise StoreError(f"the data directory {self._path} was replaced by another directory")
            if status.st_mtime_ns != self._checked_mtime_ns:
                with self._lock:
                    self._check_names()
                is_old = time.time_ns() - status.st_mtime_ns > MTIME_RESOLUTION_NS
                self._checked_mtime_ns = status.st_mtime_ns if is_old else -1
        except OSError as error:
            raise StoreError(f"the data directory {self._path} is gone: {error.strerror}") from error

    def check_quickly(self) -> bool:
        """Whether everything that the last `check` has found is still there. If not, `check` says what that
        means. The cost does not depend on the number of files."""
        try:
            status = os.stat(self._name)  # noqa: PTH116 (half the cost, after every fsync)
            if (status.st_dev, status.st_ino) != self._identity:
                return False
            if status.st_mtime_ns == self._checked_mtime_ns:
                return True
            return bool(self._found) and all(os.stat(name).st_ino == inode for name, inode in self._found)  # noqa: PTH116
        except OSError:
            return False

    def _check_names(self) -> None:
        """Check the names after the directory changed. Raises StoreError, OSError.

        The newest file of the log must be the known one, or a newer one.
        """
        names = [entry.name for entry in self._path.iterdir()]
        number, name = max(
            ((int(found[1]), name) for name in names if (found := _LOG.fullmatch(name))), default=(0, "")
        )
        manifest = next((each for each in names if each.startswith("MANIFEST-")), "")
        if "CURRENT" not in names or not manifest or number == 0 or number < self._log_number:
            raise StoreError(f"files of the store were deleted from the data directory {self._path}")
        if number > self._log_number:
            # RocksDB has started a new file. It deletes the old one as soon as it does not need it.
            log = os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC)
            self._close_log()
            self._log, self._log_number = log, number
        elif os.fstat(self._log).st_ino != (self._path / name).stat().st_ino:
            raise StoreError(f"the file {name} in the data directory {self._path} was replaced")
        paths = [self._path / each for each in ("CURRENT", manifest, name)]
        self._found = [(str(each), each.stat().st_ino) for each in paths]

    def _close_log(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def close(self) -> None:
        """Close the descriptors."""
        self._close_log()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


def probe(path: Path) -> None:
    """Raise StoreError unless the data directory takes a new file and an fsync.

    The disk must have space for the whole log as well, because RocksDB writes it to tables when it opens.
    """
    # RocksDB deletes a file of this name, in case the broker is killed before `unlink`.
    file = path / "000000.dbtmp"
    try:
        disk = os.statvfs(path)
        needed = sum(each.stat().st_size for each in path.glob("*.log")) + (1 << 20)
        if disk.f_bavail * disk.f_frsize < needed:
            raise StoreError(f"the disk of the data directory {path} has less than {needed} bytes free")
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            file.unlink()
    except OSError as error:
        raise StoreError(f"the data directory {path} cannot be written: {error.strerror}") from error
