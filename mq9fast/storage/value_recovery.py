"""Drops the rows whose values a power cut took before they were synced.

A durable pointer has a durable value, except in one case: RocksDB flushed a memtable to a table, which it
syncs, before the values of the memtable's last rows were synced. These were never acknowledged as durable. If
the log has such pointers, it is truncated there (`data_directory.py`); a table cannot be. So after such a
power cut `storage/rocks.py` calls `drop_lost_rows`, which reads all rows and checks the pointers.
"""

from collections.abc import Callable, Iterator

from mq9fast._core.storage.dropped_rows import dropped_rows, uid_in, without_messages
from mq9fast.storage import layout
from mq9fast.storage.store import Batch

Rows = Callable[[bytes, bytes], Iterator[tuple[bytes, bytes]]]


def drop_lost_rows(rows: Rows, is_readable: Callable[[bytes], bool], batch: Batch) -> int:
    """Add to `batch` the deletion of all rows whose values are lost; returns how many messages they had.

    `rows(first, end)` scans the stored rows. `is_readable(value)`: whether a pointer's value is intact. The
    mailboxes' counts are corrected in the same batch. Raises what the store raises, and CorruptRecord.
    """
    lost: dict[int, list[tuple[int, int, int, int]]] = {}
    messages = 0
    stored = rows(layout.MESSAGES, layout.prefix_end(layout.MESSAGES))
    for key, uid, rank, count, size, dead in dropped_rows(stored, is_readable):
        batch.delete(key)
        batch.delete(layout.bitmap_key(key))
        lost.setdefault(uid, []).append((rank, count, size, dead))
        messages += count
    if lost:
        for key, record in rows(layout.MAILBOXES, layout.prefix_end(layout.MAILBOXES)):
            for change in lost.get(uid_in(record), ()):
                record = without_messages(record, *change)
                batch.put(key, record)
    return messages
