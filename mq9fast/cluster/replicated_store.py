"""The store of a node of a cluster: a state machine that the batches of the log change.

A standby applies the records that it reads. The owner writes each batch to its store first and to the log
second, so that commands find what their turn has written. No client gets a reply before the log has it. If
the owner is deposed, its store may have batches that the log never got: `follower.py` and `takeover.py` find
that out.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from mq9fast._core.storage.logged_batch import LoggedBatch, apply_changes
from mq9fast.cluster.log_writer import LogWriter
from mq9fast.cluster.record import Position
from mq9fast.errors import StartError, StoreError
from mq9fast.storage.layout import POSITION_KEY, check_version, stored_id_epoch
from mq9fast.storage.store import Batch
from mq9fast.storage.unlogged import UnloggedRocks


class ReplicatedStore(UnloggedRocks):
    """Implements `Store`. Raises StartError if the directory cannot be used, and Damaged.

    `position`: the batch that was written last. `flushed`: one that survives a power cut, with all before it.
    `writer`: set while this node owns the log.
    """

    lost = 0
    write_ended = sync_ended = -1

    def __init__(self, path: Path, *, max_files: int = -1) -> None:
        super().__init__(path, max_files=max_files)
        try:
            check_version(self, path)
        except StartError:
            self.close()
            raise
        stored = self.get(POSITION_KEY)
        self.position = self.flushed = Position() if stored is None else Position.unpack(stored)
        self.writer: LogWriter | None = None
        self.id_epoch = 0

    # For a standby.

    def apply(self, batches: Iterable[memoryview], position: Position) -> None:
        """Apply batches of the log. `position`: that of the last one. Raises StoreError, CorruptRecord."""
        rows = self.new_rows()
        for changes in batches:
            apply_changes(changes, rows)
        rows.put(POSITION_KEY, position.pack())
        self.write_rows(rows)
        self.position = position

    def flush(self) -> None:
        position = self.position
        super().flush()
        self.flushed = position

    # For the owner: the rest of the interface of Store.

    def begin(self, sync_mode: str) -> None:
        self.id_epoch = stored_id_epoch(self)

    def new_batch(self) -> LoggedBatch:
        return LoggedBatch(self.new_rows())

    def begin_write(self, batch: Batch) -> bool:
        return False

    def write(self, batch: Batch) -> None:
        assert isinstance(batch, LoggedBatch)
        if self.writer is None:
            raise StoreError("this node does not own the log")
        self._check()
        changes = batch.changes
        position = self.writer.place(changes)
        batch.rows.put(POSITION_KEY, position.pack())
        self.write_rows(batch.rows)
        self.writer.add(changes, position)
        self.position = position

    def confirm(self, sequence: int) -> None:
        """Note that the log has everything up to this record, unless a later batch has. If that fails, the
        next write does too."""
        if self.position.confirmed < sequence:
            with contextlib.suppress(StoreError):
                self.apply((), self.position._replace(confirmed=sequence))

    def sync(self) -> None:
        """Nothing: the log makes batches durable."""

    def begin_sync(self) -> bool:
        return False

    def finish_sync(self) -> bool:
        return True

    # A store that failed is not opened again while the node is the owner.

    def detach(self) -> None:
        raise StoreError("the store of the owner cannot be opened again: restart the node")

    def reopen(self, min_sequence: int, *, compact: bool) -> NoReturn:
        raise StoreError("the store of the owner cannot be opened again: restart the node")

    def attach(self) -> None:
        pass
