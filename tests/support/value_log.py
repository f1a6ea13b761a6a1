"""Large values in the value log of a store in the test's own process."""

from pathlib import Path

from mq9fast.storage import layout
from mq9fast.storage.rocks import RocksStore
from tests.support.stored_rows import message_key

KEYS = [message_key(1, 2, number) for number in range(8)]
ALL = (layout.MESSAGES, layout.prefix_end(layout.MESSAGES))
FIRST = "values-00000001.seg"


def large(number: int, size: int = 2000) -> bytes:
    return b"\1" + bytes([number]) * size


def open_store(path: Path, sync: str = "always") -> RocksStore:
    store = RocksStore(path)
    layout.check_format(store, path)
    store.begin(sync)
    return store


def put(store: RocksStore, rows: dict[bytes, bytes]) -> None:
    """Write rows in one batch."""
    batch = store.new_batch()
    for key, value in rows.items():
        batch.put(key, value)
    store.write(batch)


def rows_of_segments(store: RocksStore) -> list[int]:
    rows = store.scan(layout.SEGMENTS, layout.prefix_end(layout.SEGMENTS))
    return [int.from_bytes(key[1:], "big") for key, _ in rows]
