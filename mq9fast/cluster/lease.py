"""The lease of the owner: while it holds, no other node can be the owner.

The owner replaces its record in the registry again and again. Another node takes over by compare-and-set,
at the earliest LEASE_SECONDS after it saw the last change of the record (`cluster/election.py`). The owner
counts from before it sent that change, and a little less, so its lease ends first. No clocks are compared.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from mq9fast.cluster.registry import Outdated, OwnerRecord, Registry, RegistryError
from mq9fast.cluster.tasks import end_tasks

log = logging.getLogger("mq9fast.cluster")

# A standby takes over when the owner's record has not changed for this long.
LEASE_SECONDS = 2.0
# The owner trusts its lease for this long after it began to renew it.
TRUST_SECONDS = 1.8
RENEW_SECONDS = 0.5
# A renewal is overdue this long after the last one that succeeded.
OVERDUE_SECONDS = 1.0
# The owner tries again this long after a renewal that failed.
RETRY_SECONDS = 0.1


class Lease:
    """The lease of one owner, renewed in the running event loop until `close` or `release`.

    `lost` is called once if another node has become the owner.
    """

    def __init__(
        self,
        registry: Registry,
        record: OwnerRecord,
        revision: int,
        claimed_at: float,
        lost: Callable[[], None],
    ) -> None:
        """`revision`: of `record` in the registry. `claimed_at`: when it was sent, by the monotonic clock."""
        self.record = record
        self._registry = registry
        self._revision = revision
        self._lost = lost
        self._trusted_until = claimed_at + TRUST_SECONDS
        self.renewals = 0
        self.failed_renewals = 0
        self._task = asyncio.get_running_loop().create_task(self._renew_forever())

    def may_read(self) -> bool:
        """Whether this node is certainly the owner now."""
        return time.monotonic() < self._trusted_until

    @property
    def is_overdue(self) -> bool:
        """Whether the last renewals failed, or take long."""
        return time.monotonic() > self._trusted_until - TRUST_SECONDS + OVERDUE_SECONDS

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            while not await self._renew():  # noqa: ASYNC110 (an answer ends it)
                await asyncio.sleep(RETRY_SECONDS)

    async def _renew(self) -> bool:
        """Renew the lease once; returns whether it was renewed."""
        sent_at = time.monotonic()
        try:
            self._revision = await self._registry.update(self.record, self._revision)
        except Outdated:
            await self._look()
            return False
        except RegistryError as error:
            if self.failed_renewals % 10 == 0:
                log.warning("the lease could not be renewed: %s", error)
            self.failed_renewals += 1
            return False
        self.renewals += 1
        self._trusted_until = sent_at + TRUST_SECONDS
        return True

    async def _look(self) -> None:
        """Find out who changed the record: a renewal of this lease that had no answer, or another node."""
        try:
            entry = await self._registry.get()
        except RegistryError:
            return
        if entry is None or entry.revision < self._revision:
            return  # an old answer, or none: the next renewal tells more
        if entry.record == self.record:
            self._revision = entry.revision
            return
        self._trusted_until = 0.0
        log.warning("node %s is the owner now, epoch %d", entry.record.node, entry.record.epoch)
        self._lost()
        self._task.cancel()

    async def release(self) -> None:
        """End the lease, so that another node takes over at once. If that fails, the lease runs out."""
        await self.close()
        try:
            await self._release()
        except RegistryError as error:
            log.warning("the lease was not released, and runs out: %s", error)

    async def _release(self) -> None:
        released = msgspec.structs.replace(self.record, released=True)
        try:
            await self._registry.update(released, self._revision)
        except Outdated:
            # A renewal that was under way until now took effect, unless another node is the owner.
            entry = await self._registry.get()
            if entry is None or entry.record != self.record:
                raise
            await self._registry.update(released, entry.revision)

    async def close(self) -> None:
        """Stop renewing the lease. It runs out."""
        self._trusted_until = 0.0
        await end_tasks(self._task)
        # A renewal may have succeeded meanwhile.
        self._trusted_until = 0.0
        if not self._task.cancelled():
            self._task.result()
