"""Deletes the messages of ended mailboxes from the store, a few mailboxes at a time.

`mailbox/lifecycle.py` adds a `Purge` when a mailbox ends, and `server/housekeeping.py` calls `purge_some`.
All changes go into the current commit group.
"""

import time
from collections import deque
from functools import partial
from typing import NamedTuple

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast.errors import StoreError
from mq9fast.storage import layout
from mq9fast.storage.store import Store

# One call purges at most so many mailboxes, and takes about so long.
MAX_PURGES = 64
PURGE_SECONDS = 0.002
# Up to this many messages and bytes, a mailbox is deleted key by key. Above, it is deleted as a range: a
# range tombstone is cheap to write, but slows reads across it.
MAX_MESSAGES_BY_KEY = 64
MAX_BYTES_BY_KEY = 256 << 10
# Stands for an unknown number of messages, which are deleted as a range.
ANY_MESSAGES = MAX_MESSAGES_BY_KEY + 1


class Purge(NamedTuple):
    """The messages of one ended mailbox that are still in the store: the uid, how many, and how many
    bytes. Rows of Nats-Msg-Ids count as messages without bytes."""

    uid: int
    messages: int
    size_bytes: int


class Purges:
    """The purges that are still to be done. The store has a row for each, under `layout.purge_key`."""

    def __init__(self, accumulator: Accumulator, store: Store) -> None:
        self._accumulator = accumulator
        self._store = store
        self._waiting: deque[Purge] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def load(self) -> list[int]:
        """Read the purges in the store at a start; returns their uids. Raises StoreError."""
        for key, value in self._store.scan(layout.PURGES, layout.prefix_end(layout.PURGES)):
            count, size = int.from_bytes(value[:8], "big"), int.from_bytes(value[8:], "big")
            self._waiting.append(Purge(int.from_bytes(key[1:], "big"), count, size))
        return [purge.uid for purge in self._waiting]

    def put_row(self, purge: Purge) -> None:
        """Add the row of a purge to the commit group, so that a restart does not lose the purge."""
        size = layout.number(purge.messages) + layout.number(purge.size_bytes)
        self._accumulator.group.put_raw(layout.purge_key(purge.uid), size)

    def schedule(self, purge: Purge) -> None:
        """Do a purge in one of the next calls of `purge_some`."""
        self._waiting.append(purge)

    def purge_some(self) -> bool:
        """Purge a few mailboxes. Returns whether there are more.

        Raises StoreError if the messages of one could not be read; that one is tried again after the others.
        """
        if self._accumulator.store_failed:
            return False
        end = time.perf_counter() + PURGE_SECONDS
        for _ in range(min(len(self._waiting), MAX_PURGES)):
            if time.perf_counter() >= end:
                break
            purge = self._waiting.popleft()
            try:
                self._purge(purge)
            except StoreError:
                self._waiting.append(purge)
                raise
        return bool(self._waiting)

    def _purge(self, purge: Purge) -> None:
        commit_group = self._accumulator.group
        first, end = layout.messages_of(purge.uid)
        if purge.messages <= MAX_MESSAGES_BY_KEY and purge.size_bytes <= MAX_BYTES_BY_KEY:
            for key, _ in self._store.scan_stored(first, end):
                commit_group.delete_raw(key)
        else:
            commit_group.delete_range(first, end)
        commit_group.delete_raw(layout.purge_key(purge.uid))
        commit_group.defer(partial(self._committed, purge))

    def _committed(self, purge: Purge, durable: bool) -> None:
        if not durable:
            self._waiting.append(purge)
