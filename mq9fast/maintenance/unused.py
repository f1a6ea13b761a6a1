"""Holds a data directory that no broker uses, for the tools that read it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mq9fast.errors import StartError, StoreError
from mq9fast.storage.broker_state import STATE_FILE
from mq9fast.storage.directory_checks import check_rocksdb_lock


@contextlib.contextmanager
def unused(path: Path) -> Iterator[None]:
    """Keep brokers from starting with the data directory `path` while the block runs. Changes no byte of it.

    Raises StoreError if it is no directory, or if a broker uses it.
    """
    if not path.is_dir():
        raise StoreError(f"{path} is no directory")
    try:
        check_rocksdb_lock(path)
    except StartError as error:
        raise StoreError(_in_use(path)) from error
    try:
        descriptor = os.open(path / STATE_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise StoreError(f"{path / STATE_FILE} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(_in_use(path)) from error
        yield
    finally:
        os.close(descriptor)


def _in_use(path: Path) -> str:
    return f"the data directory {path} is in use by a broker: stop it, or make a backup and look at that"
