"""Cuts off the damaged end of a MANIFEST, as a power cut may leave it.

RocksDB appends an edit and fsyncs it before it deletes what the edit replaces. If the power fails in
between, some file systems show zeros, or a part of the edit, where it was written. RocksDB does not open a
MANIFEST that ends like this. Without the edit the store is what it was before: tables and log still hold all.
`data_directory.py` has checked that they do.
"""

import os
from pathlib import Path

from mq9fast.storage.manifest import Manifest
from mq9fast.storage.write_ahead_log import sync_directory


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
