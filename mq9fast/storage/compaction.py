"""Room on the disk: what was deleted leaves the store's tables when they are compacted.

RocksDB compacts by itself as data comes in, but not a store at rest, whatever is deleted in it. So the broker
looks now and then how large the tables are beside what is in them, and has them compacted in a thread.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from mq9fast._core.mailbox.mailbox import MailboxIndex
from mq9fast.errors import StoreError
from mq9fast.health import Health
from mq9fast.storage.store import Store

log = logging.getLogger("mq9fast.compaction")

# About what RocksDB stores for a mailbox and for a message, beside its description, header and payload.
MAILBOX_BYTES = 256
MESSAGE_BYTES = 64
# How much larger than what is not deleted tables may be: while nothing is written, and at any time.
MAX_TIMES = 3
SPARE_BYTES_AT_REST = 16 << 20
SPARE_BYTES = 256 << 20
# The fault that /healthz shows after a compaction that failed, until one succeeds.
FAULT = "compacting"


class Compaction:
    """Compacts one store. Used from the event loop, until `stop`."""

    def __init__(self, store: Store, directory: MailboxIndex, health: Health) -> None:
        self._store = store
        self._directory = directory
        self._health = health
        self._thread = ThreadPoolExecutor(1, "mq9fast-compaction")
        self._running = False
        self._stopped = False
        self._left_bytes = 0

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._running

    def look(self, *, at_rest: bool) -> None:
        """Begin to compact if it is worth it and not under way. Raises StoreError."""
        if self._running or self._stopped:
            return
        table_bytes = self._store.table_bytes()
        # What a compaction could not drop is not tried again and again.
        least = max(MAX_TIMES * self._live_bytes(), self._left_bytes * 3 // 2)
        if table_bytes <= least + (SPARE_BYTES_AT_REST if at_rest else SPARE_BYTES):
            if at_rest:
                self._health.clear(FAULT)
            return
        self._running = True
        log.info("compacting tables of %d MiB", table_bytes >> 20)
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._run)
        done.add_done_callback(self._done)

    def _live_bytes(self) -> int:
        directory = self._directory
        around = MAILBOX_BYTES * directory.live_count + MESSAGE_BYTES * directory.message_count
        return directory.size_bytes + around

    def _run(self) -> StoreError | None:
        try:
            self._store.compact(lambda: self._stopped)
            self._left_bytes = self._store.table_bytes()
        except StoreError as error:
            return error
        return None

    def _done(self, done: "asyncio.Future[StoreError | None]") -> None:
        self._running = False
        failure = None if done.cancelled() else done.result()
        if failure is None:
            self._health.clear(FAULT)
        else:
            self._health.report(FAULT, f"compacting failed: {failure}")
            log.error("compacting failed: %s", failure)

    def stop(self) -> None:
        """Begin no other share."""
        self._stopped = True

    def wait(self) -> None:
        """Wait for the share that is under way; the store may be closed then."""
        self._thread.shutdown()
