"""Cuts off the damaged end of a MANIFEST, as a power cut may leave it.

RocksDB appends edits, often several before one fsync, and deletes what they replace after that. If the power
fails before, some file systems show zeros, or a part of an edit, where it was written; edits behind it may be
whole. RocksDB does not open such a MANIFEST. Without these edits the store is what it was before: tables and
log still hold all. `check_end` checks that they do. If not, the edits were durable, and the damage has
another cause.
"""

import os
from pathlib import Path

from mq9fast.errors import bad_file_error
from mq9fast.storage.directory_checks import changed_tables
from mq9fast.storage.loss import Loss
from mq9fast.storage.manifest import Manifest
from mq9fast.storage.write_ahead_log import WriteAheadLog, begins_with_gap, sync_directory


def check_end(path: Path, manifest: Manifest, log: WriteAheadLog, loss: Loss) -> None:
    """Raise StartError if the MANIFEST of the directory `path` has a damaged end that was durable: files that
    it replaced are gone.

    `log`, `loss`: what the log holds without that end, and what is missing then. Raises OSError.
    """
    if manifest.damaged_from is None:
        return
    if loss.acknowledged or begins_with_gap(log) or changed_tables(path, manifest):
        raise bad_file_error(path, manifest.name, "is damaged")


def cut_damaged_end(path: Path, manifest: Manifest, target: Path) -> None:
    """Copy the MANIFEST of the directory `path` into the new directory `target`, and cut off its damaged end.

    Raises OSError. If the process is killed meanwhile, the MANIFEST is whole or cut off.
    """
    assert manifest.damaged_from is not None
    target.mkdir()
    with (path / manifest.name).open("r+b") as file:
        with (target / manifest.name).open("wb") as copy:
            copy.write(file.read())
            copy.flush()
            os.fsync(copy.fileno())
        sync_directory(target)
        sync_directory(path)
        file.truncate(manifest.damaged_from)
        os.fsync(file.fileno())
