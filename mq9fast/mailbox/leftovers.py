"""Messages in the store whose mailbox is gone: writes failed while it ended, then the broker was killed."""

import logging
import threading
import time
from collections.abc import Callable

from mq9fast._core.mailbox.uid_set import UidSet
from mq9fast.storage import layout as record
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.leftovers")

# What one call may take, about: a mailbox is a seek, from the disk perhaps.
SLICE_SECONDS = 0.001


class Leftovers:
    """Goes through the messages in the store from mailbox to mailbox, some at a time.

    `owned`: the uids of all mailboxes that lived, or were still to be purged, when the broker started. Each
    other uid below `next_uid` is given to `drop`.
    """

    def __init__(self, store: Store, owned: UidSet, next_uid: int, drop: Callable[[int], None]) -> None:
        self._store = store
        self._owned = owned
        self._next = record.MESSAGES
        self._end = record.messages_of(next_uid)[0]
        self._drop = drop
        self._dropped = 0
        self.done = False
        # A million of them take a tenth of a second.
        self._sorting = threading.Thread(target=owned.sort, name="mq9fast-uids", daemon=True)
        self._sorting.start()

    def look(self) -> bool:
        """Look at some mailboxes; whether there are more. Raises StoreError, and goes on there next time."""
        if self.done or self._sorting.is_alive():
            return not self.done
        until = time.perf_counter() + SLICE_SECONDS
        while time.perf_counter() < until:
            row = next(self._store.scan(self._next, self._end), None)
            if row is None:
                self._finish()
                return False
            uid = record.uid_of(row[0])
            if uid not in self._owned:
                self._drop(uid)
                self._dropped += 1
            self._next = record.messages_of(uid)[1]
        return True

    def _finish(self) -> None:
        self.done = True
        self._owned = UidSet()
        if self._dropped:
            log.info("dropped what %d mailboxes had left in the store", self._dropped)
