"""The interface of the store: ordered keys, atomic batches, and a write-ahead log that is synced separately.

The rest of the broker uses the store through `Store` and `Batch` only. `storage/rocks.py` implements them.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from mq9fast.errors import StoreError
from mq9fast.storage.key_spans import KeySpans


class Batch(Protocol):
    """Changes that are written together or not at all, in the order in which they were added."""

    def put(self, key: bytes, value: bytes, /) -> None: ...
    def delete(self, key: bytes, /) -> None: ...
    def delete_range(self, first: bytes, end: bytes, /) -> None: ...


class Values(Protocol):
    """The value log of a store, in segment files, for `commit/value_cleaner.py` and `commit/page_cache.py`.

    Segments have numbers. A complete one takes no more values.
    """

    def size_bytes(self) -> int:
        """The size of all segments."""
        ...

    def unsynced_bytes(self) -> int:
        """The size of what may not be durable."""
        ...

    def complete(self) -> dict[int, int]:
        """The size of each complete segment, by number."""
        ...

    def durable_after(self, number: int) -> list[tuple[int, int]]:
        """The complete segments with higher numbers that are durable, oldest first: (number, bytes)."""
        ...

    def key_spans(self, number: int) -> KeySpans | None:
        """Which rows may point into a complete segment, None if that is not known."""
        ...

    def note_gone(self, prefixes: Iterable[bytes]) -> None:
        """No row has a key with one of these prefixes any more, nor will one: a mailbox has ended."""
        ...

    def forget_gone(self) -> None:
        """Apply what `note_gone` was told to all segments."""
        ...

    def file(self, number: int) -> Path:
        """The file of a segment."""
        ...

    def complete_active(self) -> None:
        """Complete the segment that takes values now."""
        ...

    def close_file(self, number: int) -> Path:
        """Close the file of a complete segment that is to be deleted; returns it."""
        ...

    def forget(self, number: int) -> None:
        """Forget a complete segment whose row and file were deleted."""
        ...


class Store(Protocol):
    """A key-value store. Keys and values are bytes, and keys are ordered bytewise.

    Every method raises StoreError if it fails. The event loop's thread calls all methods, except where a
    method says that another thread may call it.

    After a failure of `write`, `sync`, `finish_sync` or `check`, no more changes are written or synced until
    `resume`; reads still work.
    """

    id_epoch: int
    """A start raises it if clients may know ids that the store has lost: new ids are then 1 << 32 higher."""

    lost: int
    """How many acknowledged changes are lost, or more. The operator accepted that at the start."""

    read_failed: Callable[[bytes, bytes, str], None] | None
    """If set, called with (first, end, reason) when reading keys from `first` up to but not `end` failed."""

    written_sequence: int
    """The sequence number of the last written change."""

    synced_sequence: int
    """The sequence number of the last synced change."""

    @property
    def values(self) -> "Values":
        """Where large values are stored."""
        ...

    def begin(self, sync_mode: str) -> None:
        """Record in the data directory that a broker with this sync mode serves the store from now on.

        The broker must acknowledge nothing before this returns.
        """
        ...

    def new_batch(self) -> Batch:
        """An empty batch."""
        ...

    @property
    def write_ended(self) -> int:
        """A descriptor that has one byte to read after each batch that the thread has written; -1 without
        such a thread."""
        ...

    def begin_write(self, batch: Batch) -> bool:
        """Begin to write a batch of large values in a thread; false, and nothing is done, if that would gain
        nothing.

        `write` of this batch must be the next call of `write`. It waits for the thread and completes the
        batch. A read before it does the same, so that it sees the batch as written.
        """
        ...

    def write(self, batch: Batch) -> None:
        """Write a batch. It is readable now and survives a kill of the process, but not a power cut."""
        ...

    def sync(self) -> None:
        """Make every written batch survive a power cut. Another thread may call it; it releases the GIL."""
        ...

    @property
    def sync_ended(self) -> int:
        """A descriptor that has one byte to read after each sync that `begin_sync` has begun."""
        ...

    def begin_sync(self) -> bool:
        """Begin to make every written batch survive a power cut, in threads; false, and nothing is begun, if
        that would gain nothing. `sync` and the next `begin_sync` wait for `finish_sync`."""
        ...

    def finish_sync(self) -> bool:
        """Wait until the threads are done. If it returns false, `sync` has to be called to be sure."""
        ...

    def check(self) -> None:
        """Check that the files of the store are still in place, and that no background work has failed."""
        ...

    def begin_compacting(self) -> None:
        """Turn background compaction on. It is off at a start, which must not fail if a compaction meets a
        damaged table. If this fails, later writes fail."""
        ...

    def write_stalled(self) -> bool:
        """Whether `write` would block now, because flushes and compactions are behind."""
        ...

    def flush_memtables(self) -> None:
        """Flush memtables in the background to release their memory. Called when writes have paused."""
        ...

    def table_bytes(self) -> int:
        """The size of all tables, with the deleted data that they still hold. Any thread may call it."""
        ...

    def compact(self, stop: Callable[[], bool]) -> None:
        """Drop deleted data from the tables, one key range after the other, until `stop()` is true.

        Another thread may call it; it releases the GIL.
        """
        ...

    def checkpoint(self, target: Path) -> None:
        """Copy the store as it is now, or a little later, into the new or empty directory `target`.

        Another thread may call it; it releases the GIL, and writes go on. The copy opens as a data directory.
        If this fails, nothing of the copy is left.
        """
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, None if there is none."""
        ...

    def get_stored(self, key: bytes) -> bytes | None:
        """As `get`, but reads no value of the value log: a large value is replaced by its pointer."""
        ...

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The pairs from `first` up to but not `end`, as they are when the scan begins.

        The iterator ends without StoreError only if the store confirms that there are no more pairs.
        """
        ...

    def scan_stored(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As `scan`, but reads no value of the value log: a large value is replaced by its pointer."""
        ...

    def points_to(self, key: bytes, segment: int, offset: int) -> bool:
        """Whether the large value of a key is the one at a byte of a segment of the value log."""
        ...

    def scan_back(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As `scan`, but the pairs come in the reverse order, from before `end` down to `first`."""
        ...

    # Recovery from a failure, by commit/healing.py.

    def refuse(self, error: StoreError) -> None:
        """Make `write`, `sync` and `check` fail with `error`, unless they fail already."""
        ...

    def probe(self) -> None:
        """Check that the directory can be written now. Another thread calls it, and the next two."""
        ...

    def has_recovered(self) -> bool:
        """Whether the store accepts writes again without being reopened."""
        ...

    def reopen(self, min_sequence: int, *, compact: bool) -> None:
        """Close the store and open it again, after `detach`.

        Fails if a change up to the sequence number `min_sequence` is missing. `compact`: whether background
        compaction is on from now on.
        """
        ...

    def detach(self) -> None:
        """Make reads fail too, until `attach`, because the store is about to be reopened."""
        ...

    def attach(self) -> None:
        """Read from the store that `reopen` has opened."""
        ...

    def resume(self) -> None:
        """Accept writes again."""
        ...

    def close(self) -> None:
        """Sync everything and close the store."""
        ...


class OpenStore(Protocol):
    """Opens the store in a data directory. Raises StartError if the directory cannot be used.

    `accept_loss`: open it even if acknowledged changes are lost. `max_files`: how many tables may be open.
    """

    def __call__(self, data_dir: Path, /, *, accept_loss: bool, max_files: int) -> Store: ...
