"""Remembers which rows may point into a segment of the value log, so that a drained segment is found soon.

Counting what rows point to takes a look at every row of the store, also at those of small messages. But in a
mailbox that clients read in order, or that ends, all rows of a segment go. Their keys lie between the first
and the last one that each mailbox has in the segment.
"""

import time
from collections.abc import Callable, Iterable, Iterator

# Of a key of a message: it says the mailbox and the rank.
PREFIX_BYTES = 10
# A segment with values of more mailboxes is not remembered.
MAX_SPANS = 1024
# RocksDB steps over deleted rows one by one. So a look is at so many ids that it takes about this long.
LOOK_SECONDS = 0.0001
MIN_IDS = 64
ID_END = PREFIX_BYTES + 8

Scan = Callable[[bytes, bytes], Iterator[tuple[bytes, bytes]]]


class KeySpans:
    """The keys that one segment may have values of: for each mailbox and rank, the first and the last one."""

    def __init__(self) -> None:
        self._spans: dict[bytes, tuple[bytes, bytes]] = {}
        self._ids = MIN_IDS
        self.too_many = False

    def add(self, spans: Iterable[tuple[bytes, bytes]]) -> None:
        """Add spans of keys. All keys of a span are of one mailbox and rank."""
        if self.too_many:
            return
        for first, last in spans:
            prefix = first[:PREFIX_BYTES]
            known = self._spans.get(prefix, (first, last))
            self._spans[prefix] = min(first, known[0]), max(last, known[1])
        if len(self._spans) > MAX_SPANS:
            self.too_many = True
            self._spans.clear()

    def drained(self, scan: Scan, until: float) -> bool | None:
        """Whether there is no row within the spans; None if that is not known by the time `until`, as of
        `time.perf_counter`. Raises what `scan` raises.

        The next call goes on where this one ended: rows that are gone do not come back.
        """
        while self._spans:
            prefix, (first, last) = next(iter(self._spans.items()))
            while first <= last:
                end = self._end_of_look(first, last)
                began = time.perf_counter()
                row = next(scan(first, end), None)
                if row is not None:
                    self._spans[prefix] = row[0], last
                    return False
                first = end
                self._spans[prefix] = first, last
                now = time.perf_counter()
                self._ids = self._ids * 2 if now - began < LOOK_SECONDS else max(self._ids // 2, MIN_IDS)
                if now >= until:
                    return None
            del self._spans[prefix]
        return True

    def _end_of_look(self, first: bytes, last: bytes) -> bytes:
        """The end of a look that begins at the key `first`."""
        end = int.from_bytes(first[PREFIX_BYTES:ID_END], "big") + self._ids
        if end > int.from_bytes(last[PREFIX_BYTES:ID_END], "big"):
            return last + b"\0"
        return first[:PREFIX_BYTES] + end.to_bytes(8, "big")
