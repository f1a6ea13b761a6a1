"""The store as the broker sees it: ordered keys, atomic batches, and a log that is made durable apart."""

from collections.abc import Callable, Iterator
from typing import Protocol

from mq9fast.errors import StoreError


class Batch(Protocol):
    """Changes that are written together or not at all, in the order they were added."""

    def put(self, key: bytes, value: bytes, /) -> None: ...
    def delete(self, key: bytes, /) -> None: ...
    def delete_range(self, first: bytes, end: bytes, /) -> None: ...


class Store(Protocol):
    """Keys and values are bytes, keys are ordered bytewise. Every method raises StoreError when it cannot.

    `write` returns once the batch is in the log and readable: it survives the process, not the machine.
    `sync` makes what was written before it survive the machine too; it alone may be called from another
    thread, beside the others, and it does not keep the caller's thread from running Python elsewhere.
    """

    read_failed: Callable[[bytes, bytes, str], None] | None
    """Called, if set, with (first, end, reason) when reading the keys from `first` up to `end` failed."""

    def new_batch(self) -> Batch: ...
    def write(self, batch: Batch) -> None: ...
    def sync(self) -> None: ...
    def check(self) -> None:
        """Check that the files of the store are where they were opened, and that nothing failed meanwhile."""
        ...

    def begin_compacting(self) -> None:
        """Compact in the background from now on. A start does not, since a bad table would end it."""
        ...

    def write_stalled(self) -> bool:
        """Whether a write would have to wait for the store to catch up with itself."""
        ...

    def flush_memtables(self) -> None:
        """Nothing was written for a while: have memory given back that writing took, in the background."""
        ...

    def table_bytes(self) -> int:
        """What tables take on the disk, deleted data that is still in them included. From any thread."""
        ...

    def compact(self, stop: Callable[[], bool]) -> None:
        """Drop deleted data from the tables, a share at a time, as long as `stop()` is false. From another
        thread, beside the others; it does not keep the caller's thread from running Python elsewhere."""
        ...

    def get(self, key: bytes) -> bytes | None: ...
    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The pairs from `first` up to but not `end`, as they are when the scan begins.

        It ends without StoreError only where the store confirms that there are no more.
        """
        ...

    # After a failure of `write`, `sync` or `check` all of them fail until `resume`; reading goes on.

    def refuse(self, error: StoreError) -> None:
        """Have them fail with `error`."""
        ...

    written_sequence: int
    synced_sequence: int

    def probe(self) -> None:
        """Try whether the directory can be written now. From another thread, as the next two."""
        ...

    def has_recovered(self) -> bool:
        """Whether the store takes writes again without being opened again."""
        ...

    def reopen(self, least: int, *, compact: bool) -> None:
        """Close and open it again after `detach`; it must have everything up to the number `least`."""
        ...

    def detach(self) -> None:
        """Until `attach` reading fails too, for the store is being opened again."""
        ...

    def attach(self) -> None:
        """Read from the store that `reopen` opened."""
        ...

    def resume(self) -> None:
        """Take writes again."""
        ...

    def close(self) -> None: ...
