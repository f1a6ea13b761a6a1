"""Deletes from the log what enough stores have on disk. Only the owner does it.

A standby that was away for less than KEEP_SECONDS finds in the log what it lacks. One that was away for
longer copies the store of another node.
"""

import collections
import logging
import time
from collections.abc import Callable, Iterable

from mq9fast.cluster.log import Log, LogError
from mq9fast.cluster.presence import NodeState

log = logging.getLogger("mq9fast.cluster")

TRIM_SECONDS = 10.0
KEEP_SECONDS = 600.0


def on_disk(nodes: Iterable[NodeState], copies: int) -> int:
    """The record from which on `copies` of these nodes' stores need the log; 0 if there are fewer stores.

    A store that does not follow may have what the log never got, and be thrown away.
    """
    durable = sorted((each.durable for each in nodes if each.role in {"owner", "standby"}), reverse=True)
    return durable[copies - 1] if len(durable) >= copies else 0


class Trimmer:
    """Trims one log. `nodes()`: the states of the nodes that are there now. `trimmed`: up to which record."""

    def __init__(
        self, records: Log, nodes: Callable[[], Iterable[NodeState]], copies: int, keep_seconds: float
    ) -> None:
        self._records = records
        self._nodes = nodes
        self._copies = copies
        self._keep_seconds = keep_seconds
        # When each record was found to be on disk, the oldest first.
        self._found: collections.deque[tuple[float, int]] = collections.deque()
        self.trimmed = 0

    async def step(self, *, is_full: bool) -> None:
        """Note what is on disk, and delete what was there long ago, or now if the log is full."""
        now = time.monotonic()
        safe = on_disk(self._nodes(), self._copies)
        if not self._found or safe > self._found[-1][1]:
            self._found.append((now, safe))
        upto = 0
        while self._found and (is_full or self._found[0][0] + self._keep_seconds <= now):
            upto = self._found.popleft()[1]
        if upto <= self.trimmed:
            return
        try:
            await self._records.trim(upto)
        except LogError as error:
            log.warning("the log was not trimmed: %s", error)
            self._found.appendleft((now - self._keep_seconds, upto))
            return
        self.trimmed = upto
        log.info("the log begins with record %d now", upto)
