"""Dropping the messages of mailboxes that have ended, off the hot path."""

import time
from collections import deque
from functools import partial
from typing import NamedTuple

from mq9fast._core.commit.accumulator import Accumulator
from mq9fast.errors import StoreError
from mq9fast.storage import layout as record
from mq9fast.storage.store import Store

PURGED_PER_TURN = 64
# Dropping stops sooner than that after so long.
PURGE_SECONDS = 0.002
# Below these a mailbox is dropped key by key: range tombstones are cheap to write and dear to read across.
PURGE_BY_KEY_MESSAGES = 64
PURGE_BY_KEY_BYTES = 256 << 10
# A count that stands for any number of messages, to be dropped as a range.
ANY_MESSAGES = PURGE_BY_KEY_MESSAGES + 1


class Purge(NamedTuple):
    """A life that is over, and how much of it is still in the store."""

    uid: int
    messages: int
    size_bytes: int


class Purges:
    """What is still to be dropped. The store holds a row for each under `record.purge_key`."""

    def __init__(self, accumulator: Accumulator, store: Store) -> None:
        self._accumulator = accumulator
        self._store = store
        self._waiting: deque[Purge] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def load(self) -> list[int]:
        """Take over what is stored; returns the uids."""
        for key, value in self._store.scan(record.PURGES, record.after_all(record.PURGES)):
            count, size = int.from_bytes(value[:8], "big"), int.from_bytes(value[8:], "big")
            self._waiting.append(Purge(int.from_bytes(key[1:], "big"), count, size))
        return [purge.uid for purge in self._waiting]

    def put(self, purge: Purge) -> None:
        """Put into the turn that it is to be dropped."""
        size = record.number(purge.messages) + record.number(purge.size_bytes)
        self._accumulator.group.put_raw(record.purge_key(purge.uid), size)

    def add(self, purge: Purge) -> None:
        """Have it dropped in one of the next turns."""
        self._waiting.append(purge)

    def do_some(self) -> bool:
        """Drop the messages of a few ended mailboxes; whether there are more.

        Raises StoreError if those of one could not be read; its turn comes again after the others.
        """
        if self._accumulator.store_failed:
            return False
        end = time.perf_counter() + PURGE_SECONDS
        for _ in range(min(len(self._waiting), PURGED_PER_TURN)):
            if time.perf_counter() >= end:
                break
            purge = self._waiting.popleft()
            try:
                self._do(purge)
            except StoreError:
                self._waiting.append(purge)
                raise
        return bool(self._waiting)

    def _do(self, purge: Purge) -> None:
        commit_group = self._accumulator.group
        first, end = record.messages_of(purge.uid)
        if purge.messages <= PURGE_BY_KEY_MESSAGES and purge.size_bytes <= PURGE_BY_KEY_BYTES:
            for key, _ in self._store.scan(first, end):
                commit_group.delete_raw(key)
        else:
            commit_group.delete_range(first, end)
        commit_group.delete_raw(record.purge_key(purge.uid))
        commit_group.defer(partial(self._done, purge))

    def _done(self, purge: Purge, durable: bool) -> None:
        if not durable:
            self._waiting.append(purge)
