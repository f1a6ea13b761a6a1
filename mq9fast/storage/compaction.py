"""Gives disk space back: compacts the store once its tables are much larger than the data in them.

RocksDB drops deleted data when it compacts, and by itself it compacts only as data comes in. So an idle store
would keep what was deleted last. `server/housekeeping.py` calls `start_if_needed` every few seconds, and the
broker calls `stop` and `wait` when it stops. The compaction runs in a thread of its own.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.compaction")

# About what the store takes for a mailbox beside its description, and for a message beside header and
# payload.
MAILBOX_OVERHEAD_BYTES = 256
MESSAGE_OVERHEAD_BYTES = 64
# What the store takes for a Nats-Msg-Id.
ID_BYTES = 24
# A compaction starts when the tables take more than MAX_SIZE_RATIO times the live data and the slack.
MAX_SIZE_RATIO = 3
SLACK_BYTES_IDLE = 16 << 20
SLACK_BYTES = 256 << 20
# The name of the fault that /healthz shows from a failed compaction until the next successful one.
FAULT = "compacting"


class Compaction:
    """Compacts one store. All methods are called in the event loop."""

    def __init__(self, store: Store, mailbox_index: MailboxIndex, health: Health) -> None:
        self._store = store
        self._mailbox_index = mailbox_index
        self._health = health
        self._thread = ThreadPoolExecutor(1, "mq9fast-compaction")
        self._running = False
        self._stopped = False
        self._bytes_after_last = 0

    @property
    def running(self) -> bool:
        """Whether a compaction is running."""
        return self._running

    def start_if_needed(self, *, idle: bool) -> None:
        """Start a compaction if the tables are too large and none is running. Raises StoreError.

        `idle`: nothing was written for a while, so less slack is allowed.
        """
        if self._running or self._stopped:
            return
        table_bytes = self._store.table_bytes()
        # The last compaction could not get below `_bytes_after_last`: do not repeat it before tables grow.
        expected_bytes = max(MAX_SIZE_RATIO * self._live_bytes(), self._bytes_after_last * 3 // 2)
        if table_bytes <= expected_bytes + (SLACK_BYTES_IDLE if idle else SLACK_BYTES):
            if idle:
                self._health.clear(FAULT)
            return
        self._running = True
        log.info("compacting the store: its tables take %d MiB", table_bytes >> 20)
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._run)
        done.add_done_callback(self._done)

    def _live_bytes(self) -> int:
        index = self._mailbox_index
        overhead = MAILBOX_OVERHEAD_BYTES * index.live_count + MESSAGE_OVERHEAD_BYTES * index.message_count
        overhead += ID_BYTES * index.remembered_ids
        return max(index.size_bytes - self._store.values.size_bytes(), 0) + overhead

    def _run(self) -> StoreError | None:
        try:
            self._store.compact(lambda: self._stopped)
            self._bytes_after_last = self._store.table_bytes()
        except StoreError as error:
            return error
        return None

    def _done(self, done: "asyncio.Future[StoreError | None]") -> None:
        self._running = False
        failure = None if done.cancelled() else done.result()
        if failure is None:
            self._health.clear(FAULT)
        else:
            self._health.report(FAULT, f"compacting the store failed: {failure}")
            log.error("compacting the store failed: %s", failure)

    def stop(self) -> None:
        """Start no other compaction, and end a running one after its current key range."""
        self._stopped = True

    def wait(self) -> None:
        """Block until a running compaction has ended. The store may be closed after that."""
        self._thread.shutdown()
