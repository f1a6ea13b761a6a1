"""Reads of the store that failed: shown, and tried again until they succeed."""

import logging

from mq9fast._core.delivery.delivery import Delivery
from mq9fast._core.pubsub.client import PendingWork
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.periodic import Periodic, Step
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.reading")

# How often reading is tried again.
RETRY_SECONDS = 1.0
# The fault that /healthz shows while something cannot be read.
READING = "reading"
# Places in the store that are tried again; while there are more, those show themselves when they are read.
MAX_PLACES = 16


class ReadRetry:
    """Watches the reads of one broker, in the running event loop until `stop`.

    Subscriptions read on from where they were. The places that others read (LIST, DELETE, a purge, a page)
    are tried again too, so that /healthz shows the fault for as long as there is one.
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
        """Something could not be read, for this reason."""
        if not self._health.has(READING):
            log.error("the store could not be read: %s", reason)
        self._health.report(READING, f"the store could not be read: {reason}")

    def _try_again(self) -> None:
        """Raises StoreError or CorruptRecord if something could not be read since the last time."""
        failure = self._delivery.read_again()
        if failure is not None:
            self._pending_work.schedule_end()
        places, self._places = self._places, {}
        for first, end in places:
            try:
                next(self._store.scan(first, end), None)
            except StoreError as error:
                failure = error
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Try no more."""
        self._periodic.stop()
