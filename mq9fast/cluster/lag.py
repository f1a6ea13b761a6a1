"""How long ago the log got the oldest record that a node has not applied, as far as the nodes tell."""

import collections
import time

# At two a second, as long as anybody looks back.
MAX_ENTRIES = 20_000


class Lag:
    """The lag of one node, in seconds."""

    def __init__(self) -> None:
        # When each end of the log was first heard of, the oldest first.
        self._ends: collections.deque[tuple[float, int]] = collections.deque(maxlen=MAX_ENTRIES)

    def seconds(self, applied: int, end: int) -> float:
        """The lag of a node that has applied the records up to `applied`, while the log goes up to `end`."""
        now = time.monotonic()
        if not self._ends or end > self._ends[-1][1]:
            self._ends.append((now, end))
        while self._ends and self._ends[0][1] <= applied:
            self._ends.popleft()
        return round(now - self._ends[0][0], 3) if self._ends else 0.0
