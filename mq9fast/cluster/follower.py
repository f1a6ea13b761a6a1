"""Follows the log: applies each record to the store of a node, after checking that it follows from the last.

The first record that is read is the one in which the store stands. It shows whether the store is a beginning
of what the log has.
"""

import asyncio
import logging

from mq9fast.cluster.log import Log, LogError, LogRegressed
from mq9fast.cluster.record import FENCE, Chain, Damaged, Header, Position, batches_in, body_of, header_of
from mq9fast.cluster.replicated_store import ReplicatedStore

log_of_follower = logging.getLogger("mq9fast.follower")

# The event loop does other things at least this often.
SLICE_SECONDS = 0.005
STALL_SECONDS = 0.005


class Diverged(LogError):  # noqa: N818
    """The store has changes that the log never got: throw it away, and seed it from another node."""


class TooOld(LogError):  # noqa: N818
    """The log was trimmed behind the place of the store: throw it away, and seed it from another node."""


class Follower:
    """Follows `log` with `store` while `run` runs.

    `read`: the last record that was read and, if it was whole, applied. `applied_records`, `applied_bytes`:
    since the start. `skipped_records`: those of a deposed owner.
    """

    def __init__(self, log: Log, store: ReplicatedStore) -> None:
        self._log = log
        self._store = store
        self._parts: list[bytes] = []
        self._first = 0  # the number of the record in _parts
        self._epoch = store.position.chain.epoch
        self._is_checked = store.position.sequence == 0
        self._changed = asyncio.Event()
        self.read = 0
        self.applied_records = 0
        self.applied_bytes = 0
        self.skipped_records = 0

    async def run(self) -> None:
        """Apply records until it is cancelled or the log is closed.

        Raises Diverged, TooOld, LogRegressed or another LogError, StoreError or CorruptRecord.
        """
        loop = asyncio.get_running_loop()
        first = max(self._store.position.sequence, 1)
        until = loop.time() + SLICE_SECONDS
        async for sequence, part in self._log.read(first):
            if not self.read and sequence > first:
                raise TooOld(f"the log begins with record {sequence}, and the store needs record {first}")
            if self.read and sequence != self.read + 1:
                raise Damaged(f"record {self.read + 1} of the log is missing")
            while self._store.write_stalled():  # noqa: ASYNC110 (rare)
                await asyncio.sleep(STALL_SECONDS)
            self._take(sequence, part)
            self.read = sequence
            self._changed.set()
            if loop.time() > until:
                await asyncio.sleep(0)
                until = loop.time() + SLICE_SECONDS

    async def reach(self, sequence: int) -> None:
        """Wait until the record with this number is applied."""
        while self.read < sequence:
            self._changed.clear()
            await self._changed.wait()

    def _take(self, sequence: int, part: bytes) -> None:
        header = header_of(part)
        if header.epoch < self._epoch:
            # Its owner was deposed before the log had it, and no client was told that it is stored.
            self.skipped_records += 1
            log_of_follower.warning("record %d of a deposed owner is skipped", sequence)
            return
        if header.kind == FENCE:
            self._fence(sequence, part)
        elif not self._is_checked and (header.epoch > self._epoch or header.part != len(self._parts)):
            # The fence, or the beginning of the record, is before the place that the store has given itself.
            raise self._not_in_log(self._store.position)
        elif header.epoch > self._epoch:
            raise Damaged(f"record {sequence} of the log has the epoch {header.epoch}, before a fence")
        elif header.part != len(self._parts):
            raise Damaged(f"record {sequence} of the log is part {header.part}, not {len(self._parts)}")
        else:
            if not self._parts:
                self._first = sequence
            self._parts.append(part)
            if len(self._parts) == header.of:
                parts, self._parts = self._parts, []
                self._apply(header, body_of(parts), sequence)

    def _fence(self, sequence: int, fence: bytes) -> None:
        position = self._store.position
        self._parts = []  # the rest of that record will not come
        if not self._is_checked:
            # The same fence may come twice, the second time in the place of a record of its owner.
            is_same = position.at_fence and header_of(fence).epoch == position.chain.epoch
            if not is_same or sequence != position.sequence:
                raise self._not_in_log(position)
            self._is_checked = True
            return
        chain = position.chain.after_fence(fence)
        self._epoch = chain.epoch
        self._store.apply((), Position(sequence, chain, sequence, at_fence=True))

    def _apply(self, header: Header, body: memoryview, last: int) -> None:
        position = self._store.position
        chain = Chain(header.epoch, header.turn - 1, header.before)
        if self._is_checked and chain != position.chain:
            raise Damaged(f"record {self._first} of the log does not follow from the one before it")
        new = []
        is_found = chain == position.chain
        for changes in batches_in(body):
            chain = chain.after(changes)
            if is_found:
                new.append(changes)
            is_found = is_found or chain == position.chain
        if chain.crc != header.after:
            raise Damaged(f"record {self._first} of the log is damaged")
        if not is_found:
            raise self._not_in_log(position)
        self._is_checked = True
        self._store.apply(new, Position(self._first, chain, last))
        self.applied_records += 1
        self.applied_bytes += len(body)

    def _not_in_log(self, position: Position) -> LogError:
        if position.confirmed >= position.sequence:
            return LogRegressed(f"the log had record {position.sequence}, and now it is another one")
        return Diverged(f"the store has changes as record {position.sequence} that the log does not have")
