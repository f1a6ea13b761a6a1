"""Remembers which rows may point into a segment of the value log, so that a drained segment is found soon.

Counting what rows point to takes a look at every row of the store, also at those of small messages. But in a
mailbox that clients read in order, or that ends, all rows of a segment go. Their keys lie between the first
and the last one that each mailbox has in the segment.
"""

import time
from collections.abc import Callable, Iterable, Iterator

# Of a key of a message: it says the mailbox and the rank.
PREFIX_BYTES = 10
# A segment with more spans, or more than are left of those of all segments, is not remembered. One takes
# some 250 bytes.
MAX_SPANS = 1024
MAX_SPANS_OF_ALL = 65536
# RocksDB steps over deleted rows one by one. So a look is at so many ids that it takes about this long.
LOOK_SECONDS = 0.0005
MIN_IDS = 64
ALL_IDS = 1 << 62
ID_END = PREFIX_BYTES + 8

Scan = Callable[[bytes, bytes], Iterator[tuple[bytes, bytes]]]


class KeySpans:
    """The keys that one segment may have values of: for each mailbox and rank, the first and the last one.

    `most`: how many spans are remembered. `too_many`: there were more, and nothing is known.
    """

    def __init__(self, most: int = MAX_SPANS) -> None:
        self._spans: dict[bytes, tuple[bytes, bytes]] = {}
        self._most = most
        self._ids = MIN_IDS
        self.too_many = False

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, spans: Iterable[tuple[bytes, bytes]]) -> None:
        """Add spans of keys. All keys of a span are of one mailbox and rank."""
        if self.too_many:
            return
        for first, last in spans:
            prefix = first[:PREFIX_BYTES]
            known = self._spans.get(prefix, (first, last))
            self._spans[prefix] = min(first, known[0]), max(last, known[1])
        if len(self._spans) > self._most:
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
                self._adapt(now - began)
                if now >= until:
                    return None
            del self._spans[prefix]
        return True

    def forget(self, gone: set[bytes]) -> None:
        """The rows whose keys begin with these prefixes are gone."""
        for prefix in gone & self._spans.keys():
            del self._spans[prefix]

    def _adapt(self, seconds: float) -> None:
        """A look at `_ids` ids took so long."""
        if seconds < LOOK_SECONDS:
            self._ids = min(self._ids * 2, ALL_IDS)
        elif self._ids == MIN_IDS:
            # It does not depend on the number: RocksDB steps over a range of deleted rows to its end.
            self._ids = ALL_IDS
        else:
            self._ids = MIN_IDS if self._ids == ALL_IDS else self._ids // 2

    def _end_of_look(self, first: bytes, last: bytes) -> bytes:
        """The end of a look that begins at the key `first`."""
        end = int.from_bytes(first[PREFIX_BYTES:ID_END], "big") + self._ids
        if end > int.from_bytes(last[PREFIX_BYTES:ID_END], "big"):
            return last + b"\0"
        return first[:PREFIX_BYTES] + end.to_bytes(8, "big")
