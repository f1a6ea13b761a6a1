"""A directory that is filled by one of the tools: a checkpoint, a backup, a restored or a salvaged store.

Everything is written into a directory in it that marks it as unfinished, and moved out at the end, CURRENT
last. So no broker opens a half-made store, and whoever tries again can delete it.
"""

import contextlib
import os
import re
from pathlib import Path
from types import TracebackType

from mq9fast.errors import StoreError
from mq9fast.storage.directory_checks import file_names, make_directory
from mq9fast.storage.write_ahead_log import sync_directory

UNFINISHED = "mq9fast.unfinished"
# What a half-made store may consist of.
_OWN = re.compile(
    r"\d+\.(sst|log)|values-\d+\.seg|MANIFEST-\d+|OPTIONS-\d+|IDENTITY|mq9fast\.(state|clock)|"
    r"rocksdict-config\.json|LOCK|LOG(\.old\.\d+)?"
)


class NewDirectory:
    """Makes the directory `path`: a context manager that gives the directory to write into.

    If the block ends without an exception, everything written is synced and in place. After an exception
    nothing of it is left. Raises StoreError if `path` holds anything, except what a killed tool left.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._work = path / UNFINISHED
        self._made = False

    def __enter__(self) -> Path:
        try:
            self._made = not self._path.exists()
            if not self._made:
                self._check_empty()
            make_directory(self._path)
            self._work.mkdir()
            sync_directory(self._path)
        except OSError as error:
            self._give_up()
            raise cannot_make(self._path, error) from error
        return self._work

    def _give_up(self) -> None:
        """Delete what there is. If that fails, the marker stays and says that the store is unfinished."""
        with contextlib.suppress(OSError):
            if self._work.exists():
                self._clear()
            if self._made:
                self._path.rmdir()

    def _check_empty(self) -> None:
        if not self._path.is_dir():
            raise StoreError(f"{self._path} is no directory: give a new or an empty one")
        names = file_names(self._path)
        if UNFINISHED in names and "CURRENT" not in names:
            foreign = [name for name in names if name != UNFINISHED and not _OWN.fullmatch(name)]
            if not foreign:
                self._clear()
                return
        if names:
            raise StoreError(f"the directory {self._path} is not empty: give a new or an empty one")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except OSError as failure:
            error = failure
        if error is None:
            return
        self._give_up()
        if isinstance(error, OSError):
            raise cannot_make(self._path, error) from error

    def _finish(self) -> None:
        names = sorted((file.name for file in self._work.iterdir()), key="CURRENT".__eq__)
        for name in names:
            _sync_file(self._work / name)
        sync_directory(self._work)
        for name in names:
            if name == "CURRENT":
                sync_directory(self._path)
            (self._work / name).rename(self._path / name)
        sync_directory(self._path)
        self._work.rmdir()
        sync_directory(self._path)

    def _clear(self) -> None:
        """Delete a half-made store. The marker goes last."""
        for name in os.listdir(self._path):  # noqa: PTH208 (names only)
            if name == "CURRENT" or _OWN.fullmatch(name):
                (self._path / name).unlink()
        # Imported late, because a start must be quick.
        import shutil

        shutil.rmtree(self._work)


def _sync_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_make(path: Path, error: OSError) -> StoreError:
    """The StoreError for a directory that could not be made, with the file that failed."""
    where = f" ({error.filename})" if error.filename and str(error.filename) != str(path) else ""
    return StoreError(f"{path} cannot be written: {error.strerror or error}{where}")
