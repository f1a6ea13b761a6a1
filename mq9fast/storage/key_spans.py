"""Remembers which rows may point into a segment of the value log, so that a drained segment is found soon.

Counting what rows point to takes a look at every row of the store, also at those of small messages. But in a
mailbox that clients read in order, or that ends, all rows of a segment go. Their keys lie between the first
and the last one that each mailbox has in the segment.
"""

from collections.abc import Callable, Iterable, Iterator

# Of a key of a message: it says the mailbox and the rank.
PREFIX_BYTES = 10
# A segment with values of more mailboxes is not remembered.
MAX_SPANS = 1024

Scan = Callable[[bytes, bytes], Iterator[tuple[bytes, bytes]]]


class KeySpans:
    """The keys that one segment may have values of: for each mailbox and rank, the first and the last one."""

    def __init__(self) -> None:
        self._spans: dict[bytes, tuple[bytes, bytes]] = {}
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

    def first_row(self, scan: Scan) -> bytes | None:
        """The key of a row within the spans, or None if there is none. Raises what `scan` raises.

        The next call begins there: rows that are gone do not come back, and RocksDB steps over deleted rows
        one by one.
        """
        for prefix, (first, last) in list(self._spans.items()):
            row = next(scan(first, last + b"\0"), None)
            if row is not None:
                self._spans[prefix] = row[0], last
                return row[0]
            del self._spans[prefix]
        return None
