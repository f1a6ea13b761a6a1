"""Syncs the value log and RocksDB's log at the same time, in threads that do not need the interpreter.

`RocksStore.sync` makes one fsync after the other, in a thread that waits for the interpreter between them:
while clients send at full speed, the event loop has it most of the time. So `RocksStore` has the files of
most commit groups synced here. What is rare is left to `RocksStore.sync`: a file that is new, so that the
directory is to be synced too, and the sync of the state file.

RocksDB has no call that syncs its log without the interpreter. An fsync of the file does, if it is the file
that RocksDB has written to: `LogFile` makes sure of that.
"""

import os
from pathlib import Path

from mq9fast._core.storage.file_syncer import MAX_FILES, FileSyncer
from mq9fast.storage.value_log import Unsynced, ValueLog
from mq9fast.storage.write_ahead_log import log_name, log_numbers


class LogFile:
    """The file of RocksDB's log that takes the writes.

    RocksDB begins a new file at any write. The file that is known here is the right one as long as each write
    makes it longer. `is_known`: it is the only one that was written to since `find`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.descriptor = -1
        self.path = directory
        self.is_known = False
        self._size = 0
        self.synced_size = 0

    def find(self) -> None:
        """Open the newest file. Everything that was written before has to be synced by RocksDB."""
        self.close()
        try:
            self.path = self._directory / log_name(log_numbers(self._directory)[-1])
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._size = self.synced_size = os.fstat(self.descriptor).st_size
        except (OSError, IndexError):
            return
        self.is_known = True

    def note_write(self) -> None:
        """RocksDB has written a batch."""
        if self.is_known:
            size = os.fstat(self.descriptor).st_size
            self.is_known = size > self._size
            self._size = size

    @property
    def size(self) -> int:
        """Its size in bytes after the last write."""
        return self._size

    def close(self) -> None:
        """Close the file."""
        self.is_known = False
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class ParallelSync:
    """Syncs one commit group at a time. All methods are called by the event loop's thread.

    `ended`: a descriptor that has one byte to read after each sync.
    """

    def __init__(self, directory: Path, values: ValueLog) -> None:
        self._values = values
        self._log = LogFile(directory)
        self.ended, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self._syncer = FileSyncer(self._pipe)
        self._has_threads: bool | None = None
        self._parts: list[Unsynced] = []
        self._paths: list[Path] = []
        self._log_size = 0

    def note_write(self) -> None:
        """RocksDB has written a batch."""
        self._log.note_write()

    def begin(self) -> bool:
        """Begin to sync everything written so far. If it returns false, nothing was begun, and RocksDB and
        the value log have to sync it."""
        if not self._log.is_known:
            self._log.find()
            return False
        parts = self._values.unsynced()
        if any(part.segment.is_new for part in parts) or not self._threads():
            return False
        behind = [part for part in parts if part.segment.synced < part.end]
        files = [part.segment.descriptor for part in behind]
        self._paths = [part.segment.path for part in behind]
        self._log_size = self._log.size
        if self._log_size > self._log.synced_size:
            files.append(self._log.descriptor)
            self._paths.append(self._log.path)
        if not 0 < len(files) <= MAX_FILES:
            return False
        self._parts = parts
        self._syncer.start(files)
        return True

    def _threads(self) -> bool:
        """Whether there are threads: start them if necessary. After a failure, do not try again."""
        if self._has_threads is None:
            try:
                self._syncer.start_threads()
                self._has_threads = True
            except OSError:
                self._has_threads = False
        return self._has_threads

    def finish(self) -> None:
        """Wait until the threads are done. Raises OSError, and StoreError if a segment was deleted."""
        failure, index = self._syncer.wait()
        parts, self._parts = self._parts, []
        if failure:
            raise OSError(failure, os.strerror(failure), str(self._paths[index]))
        self._log.synced_size = self._log_size
        for part in parts:
            self._values.note_synced(part)

    def reopened(self) -> None:
        """RocksDB was reopened: it writes to another file."""
        self._log.close()

    def close(self) -> None:
        """End the threads, and close all files."""
        self._syncer.stop()
        self._log.close()
        for descriptor in (self.ended, self._pipe):
            os.close(descriptor)
