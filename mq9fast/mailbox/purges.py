"""Deletes the messages of ended mailboxes from the store, a few mailboxes at a time.

`mailbox/lifecycle.py` adds a `Purge` when a mailbox ends, and `server/housekeeping.py` calls `purge_some`.
All changes go into the current commit group.
"""

import time
from collections import deque
from enum import Enum
from functools import partial
from typing import NamedTuple

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast._core.ended_messages import EndedMessages
from mq9fast._core.storage.record import DELAYED_RANK, CorruptRecord
from mq9fast.errors import UNREADABLE
from mq9fast.storage import layout
from mq9fast.storage.store import Store

# One call purges at most so many mailboxes, and takes about so long.
MAX_PURGES = 64
PURGE_SECONDS = 0.002
# Up to this many messages and bytes, a mailbox is deleted key by key. Above, it is deleted as a range: a
# range tombstone is cheap to write, but slows reads across it.
MAX_MESSAGES_BY_KEY = 64
MAX_BYTES_BY_KEY = 256 << 10
# How long a purge waits if a mailbox for dead letters is full.
BLOCKED_SECONDS = 1.0
# Stands for an unknown number of messages, which are deleted as a range.
ANY_MESSAGES = MAX_MESSAGES_BY_KEY + 1


class Progress(Enum):
    """What one call has done of a purge."""

    FINISHED = "all is deleted"
    UNFINISHED = "its time was up"
    BLOCKED = "a mailbox for dead letters is full"


class Purge(NamedTuple):
    """The messages of one ended mailbox that are still in the store: the uid, how many, and how many
    bytes. Rows of Nats-Msg-Ids count as messages without bytes.

    `address`: that of the mailbox if receipts or dead letters of its messages may be wanted, else empty.
    `receipts_to`: its option. `dead_letter`: where its expired messages go, else empty.
    `begin`: the key at which the next call goes on, empty for the first key. The store does not have it.
    """

    uid: int
    messages: int
    size_bytes: int
    address: bytes = b""
    receipts_to: bytes = b""
    dead_letter: bytes = b""
    begin: bytes = b""

    def pack(self) -> bytes:
        """The value of its row in the store."""
        value = layout.number(self.messages) + layout.number(self.size_bytes)
        if self.address:
            value += bytes([len(self.address)]) + self.address + self.receipts_to
        if self.dead_letter:
            value += b"\0" + self.dead_letter
        return value


def _unpack(key: bytes, value: bytes) -> Purge:
    count, size = int.from_bytes(value[:8], "big"), int.from_bytes(value[8:16], "big")
    end = 17 + (value[16] if len(value) > 16 else 0)
    receipts_to, _, dead_letter = value[end:].partition(b"\0")
    return Purge(int.from_bytes(key[1:], "big"), count, size, value[17:end], receipts_to, dead_letter)


class Purges:
    """The purges that are still to be done. The store has a row for each, under `layout.purge_key`."""

    def __init__(self, accumulator: Accumulator, store: Store, ended_messages: EndedMessages) -> None:
        self._accumulator = accumulator
        self._store = store
        self._ended_messages = ended_messages
        self._waiting: deque[Purge] = deque()
        # Those whose mailbox for dead letters is full, in the order in which they are tried again, and when.
        self._blocked: deque[tuple[float, Purge]] = deque()
        # Those whose last changes are not durable yet.
        self._committing = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._blocked) + self._committing

    def load(self) -> list[int]:
        """Read the purges in the store at a start; returns their uids. Raises StoreError or CorruptRecord."""
        for key, value in self._store.scan(layout.PURGES, layout.prefix_end(layout.PURGES)):
            purge = _unpack(key, value)
            if len(key) != len(layout.purge_key(0)) or purge.uid == layout.LARGEST_UID:
                raise CorruptRecord(f"a key of {len(key)} bytes is not that of a purge")
            self._waiting.append(purge)
        return [purge.uid for purge in self._waiting]

    def put_row(self, purge: Purge) -> None:
        """Add the row of a purge to the commit group, so that a restart does not lose the purge."""
        self._accumulator.group.put_raw(layout.purge_key(purge.uid), purge.pack())

    def schedule(self, purge: Purge) -> None:
        """Do a purge in one of the next calls of `purge_some`."""
        self._waiting.append(purge)

    def purge_some(self) -> bool:
        """Purge a few mailboxes. Returns whether there are more.

        Raises StoreError or CorruptRecord if the messages of one could not be read; that one is tried again
        after the others.
        """
        if self._accumulator.store_failed:
            return False
        end = time.perf_counter() + PURGE_SECONDS
        while self._blocked and self._blocked[0][0] <= time.monotonic():
            self._waiting.append(self._blocked.popleft()[1])
        for _ in range(min(len(self._waiting), MAX_PURGES)):
            if time.perf_counter() >= end:
                break
            purge = self._waiting.popleft()
            try:
                progress, rest = self._purge_row_by_row(purge, end) if purge.address else self._purge(purge)
            except UNREADABLE:
                self._waiting.append(purge)
                raise
            self._committing += 1
            self._accumulator.group.defer(partial(self._committed, purge, progress, rest))
        return bool(self._waiting) or self._committing > 0

    def _purge_row_by_row(self, purge: Purge, end_time: float) -> tuple[Progress, Purge]:
        """Delete messages until `end_time`, and add the dead letters and receipts of each to the commit
        group. Returns what is left as a purge, for when the group is durable: it begins behind what is
        deleted, because RocksDB steps over deleted rows one by one."""
        commit_group = self._accumulator.group
        row: list[tuple[bytes, bytes]] = []
        first, end = layout.messages_of(purge.uid)
        for key, value in self._store.scan(purge.begin or first, end):
            row.append((key, value))
            if layout.is_bitmap(value):
                continue
            if layout.has_messages(key):
                done = self._ended_messages.end_row(
                    purge.uid,
                    purge.address,
                    purge.receipts_to,
                    purge.dead_letter,
                    layout.rank_of(key) % DELAYED_RANK,
                    row,
                )
                if done is not None:
                    bitmap_key = layout.bitmap_key(key)
                    if key != bitmap_key:
                        commit_group.put_raw(bitmap_key, done)
                    return Progress.BLOCKED, purge._replace(begin=bitmap_key)
            for each, _ in row:
                commit_group.delete_raw(each)
            row = []
            if time.perf_counter() >= end_time:
                return Progress.UNFINISHED, purge._replace(begin=key + b"\0")
        if purge.begin:
            # A store that failed in the meantime may have rows again that were deleted.
            return Progress.UNFINISHED, purge._replace(begin=b"")
        commit_group.delete_raw(layout.purge_key(purge.uid))
        return Progress.FINISHED, purge

    def _purge(self, purge: Purge) -> tuple[Progress, Purge]:
        commit_group = self._accumulator.group
        first, end = layout.messages_of(purge.uid)
        if purge.messages <= MAX_MESSAGES_BY_KEY and purge.size_bytes <= MAX_BYTES_BY_KEY:
            for key, _ in self._store.scan_stored(first, end):
                commit_group.delete_raw(key)
        else:
            commit_group.delete_range(first, end)
        commit_group.delete_raw(layout.purge_key(purge.uid))
        return Progress.FINISHED, purge

    def _committed(self, purge: Purge, progress: Progress, rest: Purge, durable: bool) -> None:
        self._committing -= 1
        if not durable:
            self._waiting.append(purge)
        elif progress is Progress.BLOCKED:
            self._blocked.append((time.monotonic() + BLOCKED_SECONDS, rest))
        elif progress is Progress.UNFINISHED:
            self._waiting.append(rest)
        else:
            self._store.values.note_gone(layout.ranks_of(purge.uid))
