"""One segment file of the value log: its name, and appending to it, syncing it and copying it.

`value_log.py` decides which segment is written. `_core/storage/value_format.pxd` draws the content. Every
function here raises OSError.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mq9fast._core.base.page_cache import begin_writing
from mq9fast._core.storage.record import CorruptRecord
from mq9fast._core.storage.segment_scanner import SegmentScanner
from mq9fast._core.storage.value_batch import ValueBatch
from mq9fast._core.storage.value_format import is_segment_head, pack_segment_head
from mq9fast.storage.write_ahead_log import sync_directory

# A segment is complete when it has this size. A smaller disk gets smaller segments, so that deleting one
# gives space back soon.
MAX_SEGMENT_BYTES = 64 << 20
MIN_SEGMENT_BYTES = 1 << 20
SHARE_OF_FREE_SPACE = 8
COPY_BYTES = 1 << 20
HEAD_BYTES = len(pack_segment_head(0))
_NAME = re.compile(r"values-(\d{8,})\.seg")
_COPY = re.compile(r"values-\d{8,}\.tmp")


def segment_name(number: int) -> str:
    """The name of a segment file."""
    return f"values-{number:08d}.seg"


def segment_sizes(path: Path) -> dict[int, int]:
    """The size in bytes of each segment file in a directory, by number in ascending order."""
    found = ((_NAME.fullmatch(entry.name), entry) for entry in os.scandir(path))
    return dict(sorted((int(match[1]), entry.stat().st_size) for match, entry in found if match))


def delete_copies(path: Path) -> None:
    """Delete the copies that a killed broker had not finished."""
    for file in path.iterdir():
        if _COPY.fullmatch(file.name):
            file.unlink()


class Segment:
    """A new segment file that takes records.

    `end`: where the next record begins. `synced`: a power cut loses nothing before this byte.
    """

    def __init__(self, directory: Path, number: int) -> None:
        self.number = number
        self.path = directory / segment_name(number)
        disk = os.statvfs(directory)
        share = disk.f_bavail * disk.f_frsize // SHARE_OF_FREE_SPACE
        self.max_bytes = max(min(share, MAX_SEGMENT_BYTES), MIN_SEGMENT_BYTES)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self.end = HEAD_BYTES
        self.synced = 0
        try:
            with _naming(self.path):
                os.pwrite(self.descriptor, pack_segment_head(number), 0)
        except OSError:
            self.close()
            self.path.unlink(missing_ok=True)
            raise

    def has_space(self, size: int) -> bool:
        """Whether `size` more bytes fit. The first records of a segment always do."""
        return self.end == HEAD_BYTES or self.end + size <= self.max_bytes

    def append(self, batch: ValueBatch) -> None:
        """Write the batch's large values, and put their pointers into its rows."""
        size = batch.record_bytes
        with _naming(self.path):
            batch.append(self.descriptor, self.number, self.end)
        self.end += size

    def begin(self, batch: ValueBatch) -> None:
        """Prepare to append the batch's large values in a thread."""
        batch.begin(self.descriptor, self.number, self.end)

    def finish(self, batch: ValueBatch) -> None:
        """The thread has ended: put the pointers to the values into the batch's rows."""
        size = batch.record_bytes
        with _naming(self.path):
            batch.finish()
        self.end += size

    def sync(self) -> None:
        """Make everything written so far durable. Another thread may append meanwhile."""
        end = self.end
        if self.synced == end:
            return
        with _naming(self.path):
            begin_writing(self.descriptor, self.synced, end)
            os.fdatasync(self.descriptor)
        if self.is_new:
            sync_directory(self.path.parent)
        self.synced = end

    @property
    def is_new(self) -> bool:
        """Whether a power cut may lose its name, so that the directory is to be synced as well."""
        return self.synced == 0

    @property
    def is_deleted(self) -> bool:
        """Whether somebody has deleted, moved or replaced the file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(found, os.fstat(self.descriptor))

    def rewrite(self) -> bool:
        """Write everything again, to a copy that takes the file's place.

        After a failed fsync, the kernel counts pages as clean that the disk does not have. Returns whether
        what was not synced could be read back.
        """
        temporary = self.path.with_suffix(".tmp")
        intact = True
        try:
            for _ in SegmentScanner(self.descriptor, self.number, self.end, self.synced):
                pass
        except CorruptRecord:
            intact = False
        copy = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            with _naming(temporary):
                _copy(self.descriptor, copy, self.end)
                os.fsync(copy)
            temporary.replace(self.path)
            sync_directory(self.path.parent)
        except BaseException:
            os.close(copy)
            raise
        self.close()
        self.descriptor, self.synced = copy, self.end
        return intact

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def open_for_reading(path: Path, number: int) -> int:
    """Open the segment with this number. Raises CorruptRecord if the file is another one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not is_segment_head(os.pread(descriptor, HEAD_BYTES, 0), number):
            raise CorruptRecord(f"the file {path.name} does not begin as this segment does")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an OSError of a descriptor."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _copy(source: int, target: int, size: int) -> None:
    at = 0
    while at < size:
        data = os.pread(source, min(COPY_BYTES, size - at), at)
        if not data:
            # The kernel has lost the end.
            os.ftruncate(target, size)
            return
        at += os.pwrite(target, data, at)
