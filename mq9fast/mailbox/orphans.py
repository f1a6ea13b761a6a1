"""Finds orphaned messages: messages in the store whose mailbox does not exist any more.

They are left if writes failed while a mailbox ended, and the broker was killed before it could repeat them.
`mailbox/lifecycle.py` creates an `OrphanSearch` at a start that follows no clean stop, and passes each uid
that it finds to the purges. The search reads the store, and writes nothing.
"""

import logging
import threading
import time
from collections.abc import Callable

from mq9fast._core.mailbox.uid_set import UidSet
from mq9fast.storage import layout
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.orphans")

# About how long one call searches. Each mailbox is a seek in the store, which may read from the disk.
SEARCH_SECONDS = 0.001


class OrphanSearch:
    """Searches the messages in the store, one mailbox after the other, a few in each call.

    `owned`: the uids of all mailboxes that were live, or waited to be purged, at the start of the broker.
    `found(uid)` is called for each other uid below `next_uid` under which there are messages.
    """

    def __init__(self, store: Store, owned: UidSet, next_uid: int, found: Callable[[int], None]) -> None:
        self._store = store
        self._owned = owned
        self._next = layout.MESSAGES
        self._end = layout.messages_of(next_uid)[0]
        self._found = found
        self._count = 0
        self.done = False
        # Sorting a million uids takes a tenth of a second.
        self._sorting = threading.Thread(target=owned.sort, name="mq9fast-uids", daemon=True)
        self._sorting.start()

    def search_some(self) -> bool:
        """Search for a short time. Returns whether there is more to search.

        Raises StoreError; the next call continues at the same place.
        """
        if self.done or self._sorting.is_alive():
            return not self.done
        until = time.perf_counter() + SEARCH_SECONDS
        while time.perf_counter() < until:
            row = next(self._store.scan_stored(self._next, self._end), None)
            if row is None:
                self._finish()
                return False
            uid = layout.uid_of(row[0])
            if uid not in self._owned:
                self._found(uid)
                self._count += 1
            self._next = layout.messages_of(uid)[1]
        return True

    def _finish(self) -> None:
        self.done = True
        self._owned = UidSet()
        if self._count:
            log.info("purging the orphaned messages of %d ended mailboxes", self._count)
