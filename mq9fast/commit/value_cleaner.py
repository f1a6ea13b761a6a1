"""Gives back the space of deleted values: cleans segments of the value log that are mostly dead.

Deleting a message deletes its row in RocksDB only. So once the value log is much larger than the stored
messages, the cleaner deletes the segments all of whose rows are gone (`storage/key_spans.py`). If that is not
enough, it counts which bytes of each segment rows still point to. It copies the live values of sparse
segments to the newest segment, in commit groups as any other change. It deletes a segment when no durable row
points into it.

`server/housekeeping.py` calls `step` in every tick.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Iterator

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.storage.live_values import LiveValues, rows_in
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.commit.syncer import Syncer
from mq9fast.errors import StoreError
from mq9fast.storage import layout
from mq9fast.storage.compaction import MESSAGE_OVERHEAD_BYTES
from mq9fast.storage.store import Store
from mq9fast.storage.value_log import delete_segments

# A pass begins when the dead bytes are more than this and more than half of the live ones. The second number
# is for a broker that is idle, or whose disk is full.
MIN_DEAD_BYTES = 128 << 20
MIN_DEAD_BYTES_IN_NEED = 1 << 20
# A segment with a larger live share than this is kept.
MAX_LIVE_SHARE = 0.5
# What one call of `step` does at most.
ROWS_OF_STEP = 2000
MOVED_BYTES_OF_STEP = 256 << 10
MOVE_SECONDS = 0.002
LOOK_SECONDS = 0.0005
COUNT_SECONDS = 0.001
ROWS_OF_LOOK = 200
# A segment with a larger live value is kept: copying it would take too long for one turn.
MAX_MOVED_VALUE_BYTES = 4 << 20
# After a failure, the next pass begins this much later.
RETRY_SECONDS = 5.0


class ValueCleaner:
    """Cleans the value log of one store. All methods are called in the event loop.

    `write_batch()` writes the changes that the current commit group has gathered.
    """

    def __init__(
        self,
        store: Store,
        mailbox_index: MailboxIndex,
        accumulator: Accumulator,
        syncer: Syncer,
        write_batch: Callable[[], None],
    ) -> None:
        self._store = store
        self._values = store.values
        self._mailbox_index = mailbox_index
        self._accumulator = accumulator
        self._syncer = syncer
        self._write_batch = write_batch
        self._pass: Iterator[bool] | None = None
        self._unclean_bytes = 0
        self._failure: Exception | None = None
        self._retry_at = 0.0
        self.deleted_segments = 0
        self.moved_bytes = 0

    def step(self, *, idle: bool) -> bool:
        """Do a part of a pass; returns whether there is more to do soon. Raises StoreError, CorruptRecord.

        `idle`: nothing was written for a while, so less dead space is allowed.
        """
        if self._accumulator.store_failed:
            self._pass = None
            return False
        if self._failure is not None and time.monotonic() < self._retry_at:
            raise self._failure
        in_need = idle or self._accumulator.disk_full
        if self._pass is None:
            if not self._is_due(MIN_DEAD_BYTES_IN_NEED if in_need else MIN_DEAD_BYTES):
                self._failure = None
                return False
            if in_need:
                # A thread may be writing to the segment.
                self._write_batch()
                self._values.complete_active()
            self._pass = self._clean(in_need=in_need)
        try:
            return next(self._pass)
        except StopIteration:
            self._pass = self._failure = None
            self._unclean_bytes = self._dead_bytes()
            return False
        except (OSError, StoreError, CorruptRecord) as error:
            self._pass, self._retry_at = None, time.monotonic() + RETRY_SECONDS
            self._failure = error
            raise

    def _dead_bytes(self) -> int:
        return self._values.size_bytes() - self._live_bytes()

    def _live_bytes(self) -> int:
        index = self._mailbox_index
        return index.size_bytes + index.dead_bytes + MESSAGE_OVERHEAD_BYTES * index.message_count

    def _is_due(self, least: int) -> bool:
        dead = self._dead_bytes()
        # What the last pass has left would be left again.
        self._unclean_bytes = min(self._unclean_bytes, dead)
        return self._is_too_much(dead, least) and dead > self._unclean_bytes + least // 2

    def _is_too_much(self, dead: int, least: int) -> bool:
        return dead > max(least, self._live_bytes() // 2)

    def _delete_drained(self, segments: Iterable[int]) -> Generator[bool, None, list[int]]:
        """Delete the segments all of whose rows are gone, without a look at other rows: mailboxes ended, or
        were read to the end. Returns which."""
        drained: list[int] = []
        until = 0.0
        self._values.forget_gone()
        for number in segments:
            spans = self._values.key_spans(number)
            is_drained = None
            while spans is not None and is_drained is None:
                if time.perf_counter() >= until:
                    yield True
                    until = time.perf_counter() + LOOK_SECONDS
                is_drained = spans.drained(self._store.scan_stored, until)
            if is_drained:
                drained.append(number)
        yield from self._delete(drained)
        return drained

    def _clean(self, *, in_need: bool) -> Iterator[bool]:
        """One pass. Yields whether it can go on at once."""
        segments = self._values.complete()
        for number in (yield from self._delete_drained(segments)):
            del segments[number]
        # Segments that were completed meanwhile do not count: the next pass looks at them.
        least = MIN_DEAD_BYTES_IN_NEED if in_need else MIN_DEAD_BYTES
        if not self._is_too_much(sum(segments.values()) - self._live_bytes(), least):
            return
        live = LiveValues()
        last: bytes | None = layout.MESSAGES
        until = time.perf_counter() + COUNT_SECONDS
        while last is not None:
            rows = self._store.scan_stored(last + b"\0", layout.prefix_end(layout.MESSAGES))
            last = live.count(rows, ROWS_OF_LOOK)
            if time.perf_counter() >= until:
                yield True
                until = time.perf_counter() + COUNT_SECONDS
        # Empty segments first: moving takes space.
        yield from self._delete([number for number in segments if number not in live.bytes_in])
        sparse = {
            number
            for number, size in segments.items()
            if 0 < live.bytes_in.get(number, 0) <= size * MAX_LIVE_SHARE
        }
        if sparse:
            yield from self._move(sparse)

    def _move(self, sparse: set[int]) -> Iterator[bool]:
        """Copy the live values of segments to the newest one, and delete the segments.

        Raises the first ReadError or CorruptRecord at the end: the segments without damage are cleaned.
        """
        failure: Exception | None = None
        kept: set[int] = set()
        last: bytes | None = layout.MESSAGES
        while last is not None:
            rows = self._store.scan_stored(last + b"\0", layout.prefix_end(layout.MESSAGES))
            found, last = rows_in(rows, sparse, ROWS_OF_STEP)
            until, moved = 0.0, 0
            for key, segment, offset, size in found:
                if time.perf_counter() >= until or moved >= MOVED_BYTES_OF_STEP:
                    yield True
                    yield from self._begin_slice()
                    until, moved = time.perf_counter() + MOVE_SECONDS, 0
                if size > MAX_MOVED_VALUE_BYTES:
                    kept.add(segment)
                    continue
                try:
                    self._move_value(key, segment, offset)
                except (StoreError, CorruptRecord) as error:
                    failure = failure or error
                    kept.add(segment)
                moved += size
            yield True
        yield from self._delete(sorted(sparse - kept))
        if failure is not None:
            raise failure

    def _begin_slice(self) -> Iterator[bool]:
        """Wait until the store takes writes. What waits in the commit group may change rows: write it."""
        while self._store.write_stalled():
            yield False
        self._write_batch()
        self._accumulator.group.defer(self._moved)

    def _move_value(self, key: bytes, segment: int, offset: int) -> None:
        """Write a value again if its row still points to it."""
        if self._store.points_to(key, segment, offset):
            value = self._store.get(key)
            assert value is not None
            self._accumulator.group.put_raw(key, value)
            self.moved_bytes += len(value)

    def _moved(self, durable: bool) -> None:
        if not durable:
            # The rows may point to the old values again.
            self._pass = None

    def _delete(self, numbers: list[int]) -> Iterator[bool]:
        """Delete segments that no row points into, once that is durable."""
        if not numbers:
            return
        outcome: list[bool] = []
        group = self._accumulator.group
        for number in numbers:
            group.delete_raw(layout.segment_key(number))
        group.defer(lambda durable: self._committed(outcome, durable=durable))
        while not outcome:
            yield False
        if not outcome[0]:
            return
        files = [self._values.close_file(number) for number in numbers]
        # Not in the syncer's thread: under `interval` it may be in an fsync of a gigabyte.
        done = asyncio.get_running_loop().run_in_executor(None, delete_segments, files)
        while not done.done():
            yield False
        done.result()
        # Only now: a later pass deletes again what could not be deleted.
        for number in numbers:
            self._values.forget(number)
        self.deleted_segments += len(numbers)

    def _committed(self, outcome: list[bool], *, durable: bool) -> None:
        """The commit group has ended. Under `interval` and `never` it may still need a sync."""
        if durable:
            self._syncer.request(lambda failure: outcome.append(failure is None))
        else:
            outcome.append(False)
