"""The segment files of the value log in a directory, read without a store."""

import os
from pathlib import Path

from mq9fast._core.storage.segment_scanner import SegmentScanner
from mq9fast._core.storage.value_reader import ValueReader
from mq9fast.storage.segment import open_for_reading, segment_name, segment_sizes

MAX_OPEN = 64


class SegmentFiles:
    """The segments in the directory `path`. Raises OSError. `sizes`: their bytes, by number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sizes = segment_sizes(path)
        self.reader = ValueReader(self._open, MAX_OPEN)

    def _open(self, number: int) -> int:
        path = self._path / segment_name(number)
        return open_for_reading(path, number)

    def scan(self, number: int) -> None:
        """Read all records of a segment. Raises CorruptRecord at the first one that is damaged, and
        OSError."""
        descriptor = self._open(number)
        try:
            for _ in SegmentScanner(descriptor, number, self.sizes[number]):
                pass
        finally:
            os.close(descriptor)
