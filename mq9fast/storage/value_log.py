"""The value log: segment files beside RocksDB that hold the large values of the store.

RocksDB would write a large value three times and more: to its log, to a table, and in each compaction. The
value log writes it once. RocksDB has a value pointer under the value's key, and a row for each segment that
pointers may name. `storage/rocks.py` owns the value log: it appends the values of a batch before RocksDB
writes the batch. Values are durable before anybody has a reply; a start after a power cut drops pointers
without a value.

Nothing in a segment is ever changed. `commit/value_cleaner.py` copies what is live in a mostly dead segment
to the newest one, and deletes the file.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mq9fast._core.storage.value_batch import ValueBatch
from mq9fast._core.storage.value_reader import ValueReader
from mq9fast._core.storage.value_writer import ValueWriter
from mq9fast.errors import StoreError
from mq9fast.storage.key_spans import MAX_SPANS, MAX_SPANS_OF_ALL, KeySpans
from mq9fast.storage.layout import segment_key
from mq9fast.storage.segment import Segment, delete_copies, open_for_reading, segment_name, segment_sizes
from mq9fast.storage.write_ahead_log import sync_directory

log = logging.getLogger("mq9fast.store")

# Of the descriptors for tables, segments that are read may use this share.
SHARE_OF_FILES = 4
MAX_OPEN = 1024
# What is known of ended mailboxes is applied to all segments at once. Of more, it is found out by reading.
MAX_GONE = 1024


class Unsynced(NamedTuple):
    """A segment that is to be synced up to the byte `end`. `is_complete`: it takes no more records."""

    segment: Segment
    end: int
    is_complete: bool


class ValueLog:
    """The segments of one data directory. Another thread may call `sync`, `unsynced`, `note_synced` and
    `rewrite`.

    `write_ended`: a descriptor; see `begin`.
    `reader`: reads the values. `lost`: values that were not synced could not be read back.
    """

    def __init__(self, path: Path, max_files: int) -> None:
        self._path = path
        self._complete: dict[int, int] = {}  # number: bytes
        self._active: Segment | None = None
        self._unsynced: dict[int, Segment] = {}
        self._registered: set[int] = set()
        self._spans: dict[int, KeySpans] = {}
        self._gone: set[bytes] = set()  # prefixes of keys
        self._next = 1
        self.lost = False
        self._begun: Segment | None = None
        self.write_ended, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self._writer = ValueWriter(self._pipe)
        self._has_thread: bool | None = None
        max_open = MAX_OPEN if max_files < 0 else max_files // SHARE_OF_FILES + 1
        self.reader = ValueReader(self._open_for_reading, max_open)

    def open(self, registered: Iterable[int], *, sync: bool) -> None:
        """Begin with the segments that the store has rows for. `sync`: a killed broker may have left them
        unsynced. Raises OSError. A missing segment is the caller's affair.
        """
        sizes = segment_sizes(self._path)
        self._registered = set(registered)
        self._complete = {number: size for number, size in sizes.items() if number in self._registered}
        for number in self._complete if sync else ():
            self._sync_file(number)
        self._next = max(self._registered | sizes.keys(), default=0) + 1

    def delete_leftovers(self) -> None:
        """Delete what a killed broker left: unfinished copies, and segments without a row, which no pointer
        names. Raises OSError."""
        delete_copies(self._path)
        for number in segment_sizes(self._path).keys() - self._registered:
            self.file(number).unlink()

    def _sync_file(self, number: int) -> None:
        # A power cut may have taken its first bytes: do not check them.
        descriptor = os.open(self.file(number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def file(self, number: int) -> Path:
        """The file of a segment."""
        return self._path / segment_name(number)

    def _open_for_reading(self, number: int) -> int:
        return open_for_reading(self.file(number), number)

    @property
    def missing(self) -> list[int]:
        """The numbers of segments that the store has rows for and the directory does not have."""
        return sorted(self._registered - self._complete.keys() - self._unsynced.keys())

    def size_bytes(self) -> int:
        """The size of all segments."""
        return sum(self._complete.values()) + (self._active.end if self._active is not None else 0)

    def unsynced_bytes(self) -> int:
        """The size of what may not be durable."""
        return sum(segment.end - segment.synced for segment in list(self._unsynced.values()))

    def complete(self) -> dict[int, int]:
        """The size of each segment that takes no more records, by number."""
        return dict(self._complete)

    def durable_after(self, number: int) -> list[tuple[int, int]]:
        """The complete segments with higher numbers that are durable, oldest first: (number, bytes)."""
        end = min(list(self._unsynced), default=self._next)
        found = []
        for each in reversed(self._complete):
            if each <= number:
                break
            if each < end:
                found.append((each, self._complete[each]))
        return found[::-1]

    # Writing.

    def has_thread(self) -> bool:
        """Whether there is a thread for `begin`: start it if necessary. After a failure, do not try again."""
        if self._has_thread is None:
            try:
                self._writer.start_thread()
                self._has_thread = True
            except OSError as error:
                self._has_thread = False
                log.warning("large messages are written in the event loop: no thread was started: %s", error)
        return self._has_thread

    def begin(self, batch: ValueBatch) -> None:
        """Begin to write the large values of a batch in a thread. Raises OSError.

        When the thread has ended, `write_ended` has a byte to read. Nothing else may be appended before
        `append` of this batch.
        """
        self._begun = self._place(batch)
        self._begun.begin(batch)
        self._writer.start(batch)

    def wait(self) -> None:
        """Wait until the thread does nothing."""
        self._writer.wait()

    def append(self, batch: ValueBatch) -> None:
        """Write the large values of a batch that is about to be written to RocksDB, or complete what the
        thread has done. Raises OSError."""
        if batch.has_begun:
            assert self._begun is not None
            segment = self._begun
            segment.finish(batch)
        else:
            segment = self._place(batch)
            segment.append(batch)
        if (spans := self._spans.get(segment.number)) is not None:
            spans.add(batch.spans)

    def _place(self, batch: ValueBatch) -> Segment:
        """The segment that takes the large values of a batch, which may be a new one."""
        segment = self._active
        if segment is None or not segment.has_space(batch.record_bytes):
            self.complete_active()
            # Count first: after a failure, the file may be there.
            self._next += 1
            segment = Segment(self._path, self._next - 1)
            self._active = self._unsynced[segment.number] = segment
            left = MAX_SPANS_OF_ALL - sum(len(spans) for spans in self._spans.values())
            self._spans[segment.number] = KeySpans(min(left, MAX_SPANS))
            # What was just written stays readable even if no file can be opened.
            self.reader.add(segment.number, os.dup(segment.descriptor))
        if segment.number not in self._registered:
            batch.rows.put(segment_key(segment.number), b"")
        return segment

    def note_written(self) -> None:
        """RocksDB has written the batch whose values were appended last, with the row of their segment."""
        if self._active is not None:
            self._registered.add(self._active.number)

    def complete_active(self) -> None:
        """Write no more records to the current segment: the next batch begins another one."""
        if self._active is not None:
            self._complete[self._active.number] = self._active.end
            self._active = None

    def sync(self) -> None:
        """Make all appended values durable. Raises OSError, and StoreError if a segment was deleted."""
        for part in self.unsynced():
            part.segment.sync()
            self.note_synced(part)

    def unsynced(self) -> list[Unsynced]:
        """The segments that may have values which are not durable, oldest first."""
        return [
            Unsynced(segment, segment.end, segment is not self._active)
            for segment in list(self._unsynced.values())
        ]

    def note_synced(self, part: Unsynced) -> None:
        """A part of what `unsynced` returned is durable. Raises OSError, and StoreError if the segment was
        deleted."""
        segment = part.segment
        segment.synced = max(part.end, segment.synced)
        if segment.is_deleted:
            raise StoreError(f"the file {segment.path.name} was deleted from the data directory")
        if part.is_complete:
            del self._unsynced[segment.number]
            segment.close()

    # Recovery from a failure, while the store accepts no writes.

    def rewrite(self) -> None:
        """Write the unsynced segments again, after a sync that failed. Sets `lost` if values are lost with
        the pages that the kernel did not write. Raises OSError."""
        for segment in list(self._unsynced.values()):
            if (segment.synced < segment.end or segment.is_deleted) and not segment.rewrite():
                self.lost = True

    def reopened(self, registered: Iterable[int]) -> None:
        """RocksDB was reopened and has rows for these segments. Other segments are garbage: RocksDB has lost
        their rows, and all pointers to them with these."""
        self.complete_active()
        self.lost = False
        self._registered = set(registered)
        # Rows that were deleted may be there again.
        self._spans.clear()
        self._gone.clear()
        for number in self._complete:
            # The reader may have opened a file that a copy has replaced.
            self.reader.close_segment(number)

    # Cleaning.

    def key_spans(self, number: int) -> KeySpans | None:
        """Which rows may point into a complete segment. None if that is not known, as for those that an
        earlier broker wrote."""
        spans = self._spans.get(number)
        return spans if spans is not None and not spans.too_many else None

    def note_gone(self, prefixes: Iterable[bytes]) -> None:
        """No row has a key with one of these prefixes any more, nor will one: a mailbox has ended."""
        if len(self._gone) < MAX_GONE:
            self._gone.update(prefixes)

    def forget_gone(self) -> None:
        """Apply what `note_gone` was told to all segments."""
        for spans in self._spans.values():
            spans.forget(self._gone)
        self._gone.clear()

    def close_file(self, number: int) -> Path:
        """Close the file of a complete segment, so that deleting it frees its space at once; returns it."""
        self.reader.close_segment(number)
        return self.file(number)

    def forget(self, number: int) -> None:
        """Forget a complete segment whose row and file were deleted."""
        del self._complete[number]
        self._spans.pop(number, None)
        self._registered.discard(number)

    def close(self) -> None:
        """Close all files, and end the thread."""
        self._writer.stop()
        for descriptor in (self.write_ended, self._pipe):
            os.close(descriptor)
        for segment in self._unsynced.values():
            segment.close()
        self._unsynced.clear()
        self.reader.close()


def delete_segments(files: list[Path]) -> None:
    """Delete the files of segments without a row. Raises OSError."""
    for file in files:
        file.unlink(missing_ok=True)
    sync_directory(files[0].parent)
