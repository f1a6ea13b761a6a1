"""How a standby becomes the owner: it watches the owner's record, and replaces it when the lease has run out.

`cluster/node.py` runs one `Election` while its node is a standby.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from mq9fast.cluster.lease import LEASE_SECONDS, Lease
from mq9fast.cluster.registry import Entry, Outdated, OwnerRecord, Registry, RegistryError

log = logging.getLogger("mq9fast.cluster")

# How often a standby looks at the owner's record.
POLL_SECONDS = 0.1
# After the registry did not answer, the owner has this long to renew its lease before a standby takes over.
SETTLE_SECONDS = 1.0


class Election:
    """Watches the owner's record for one standby. `owner`: the record as it was last seen. `former`: the node
    that was the owner before this one.

    `ready`: whether this node could serve at once. While it could not, it leaves the place to other nodes.
    """

    def __init__(self, registry: Registry, node: str, instance: str, ready: Callable[[], bool]) -> None:
        self._registry = registry
        self._node = node
        self._instance = instance
        self._ready = ready
        self.owner: OwnerRecord | None = None
        self.former: str | None = None
        self._revision = 0
        self._changed_at = self._answering_since = time.monotonic()
        self._seen = False

    async def win(self, lost: Callable[[], None]) -> Lease:
        """Wait until this node is the owner. `lost`: for its lease."""
        while True:
            with contextlib.suppress(RegistryError):
                lease = await self._try(lost)
                if lease is not None:
                    return lease
            await asyncio.sleep(POLL_SECONDS)

    async def _try(self, lost: Callable[[], None]) -> Lease | None:
        try:
            entry = await self._registry.get()
        except RegistryError:
            self._answering_since = time.monotonic()
            raise
        self._note(entry)
        if not self._ready() or not self._is_free(entry):
            return None
        return await self._claim(entry, lost)

    def _note(self, entry: Entry | None) -> None:
        revision = 0 if entry is None else entry.revision
        # A smaller revision is an old answer.
        if revision > self._revision or not self._seen:
            self._seen = True
            self._revision, self._changed_at = revision, time.monotonic()
            self.owner = None if entry is None else entry.record

    def _is_free(self, entry: Entry | None) -> bool:
        if entry is None:
            return self._revision == 0
        if entry.revision < self._revision:
            return False
        now = time.monotonic()
        if entry.record.released:
            return True
        return now - self._changed_at >= LEASE_SECONDS and now - self._answering_since >= SETTLE_SECONDS

    async def _claim(self, entry: Entry | None, lost: Callable[[], None]) -> Lease | None:
        epoch = 1 if entry is None else entry.record.epoch + 1
        record = OwnerRecord(epoch=epoch, node=self._node, instance=self._instance)
        claimed_at = time.monotonic()
        try:
            revision = await self._registry.update(record, self._revision)
        except Outdated:
            return None
        except RegistryError:
            # The record may be ours now. Nobody serves under it: another epoch follows once it has run out.
            self._answering_since = time.monotonic()
            raise
        self.former = None if entry is None else entry.record.node
        self.owner, self._revision = record, revision
        return Lease(self._registry, record, revision, claimed_at, lost)
