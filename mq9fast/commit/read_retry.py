"""Repeats failed reads of the store until they succeed, so that /healthz shows how long the fault lasts.

The store reports failed reads by its callback `read_failed`, and `commit/pipeline.py` by `failed`. This
module reads the store, and changes nothing.
"""

import logging

from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.periodic import Periodic, Step
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.reading")

RETRY_SECONDS = 1.0
# The fault that /healthz shows while reads fail.
READING = "reading the store"
# So many ranges of keys are read again. More failed ranges are reported only when they are read.
MAX_PLACES = 16


class ReadRetry:
    """Repeats the failed reads of one broker, in the running event loop until `stop`.

    Consumers continue from their cursors. The key ranges that LIST, DELETE, a purge or a monitoring page
    could not read are read again just to see whether that works now.
    """

    def __init__(self, store: Store, delivery: Delivery, pending_work: PendingWork, health: Health) -> None:
        self._store = store
        self._delivery = delivery
        self._pending_work = pending_work
        self._health = health
        self._places: dict[tuple[bytes, bytes], None] = {}
        store.read_failed = self._failed_at
        self._periodic = Periodic(RETRY_SECONDS, Step(READING, self._try_again, health))

    def _failed_at(self, first: bytes, end: bytes, reason: str) -> None:
        if len(self._places) < MAX_PLACES:
            self._places[first, end] = None
        self.failed(reason)

    def failed(self, reason: object) -> None:
        """Report that a read failed, and why."""
        if not self._health.has(READING):
            log.error("the store could not be read: %s", reason)
        self._health.report(READING, f"the store could not be read: {reason}")

    def _try_again(self) -> None:
        """Repeat the failed reads. Raises StoreError or CorruptRecord if one fails again."""
        failure = self._delivery.read_again()
        if failure is not None:
            self._pending_work.schedule_end()
        places, self._places = self._places, {}
        for first, end in places:
            try:
                # A scan forwards stopped before its first row, one backwards behind its last.
                next(self._store.scan(first, end), None)
                next(self._store.scan_back(first, end), None)
            except StoreError as error:
                failure = error
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Stop: repeat no more reads."""
        self._periodic.stop()
