"""The store of a standby fails around the moment in which the node wins the election."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mq9fast.cluster import election, lease
from mq9fast.cluster.node import Node
from mq9fast.cluster.record import fence_record
from mq9fast.cluster.registry import OwnerRecord
from mq9fast.cluster.replica import Replica
from mq9fast.config.settings import Settings
from mq9fast.errors import StoreError
from tests.support.memory_log import MemoryLog, MemoryRecords
from tests.support.memory_registry import MemoryRegistry

TURNS = 12


class RegistryOfAFailingNode(MemoryRegistry):
    """Calls `fail` when the node claims the lease, so many turns of the event loop before it is told."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.fail: Callable[[], None] = lambda: None
        self._turns = turns

    async def update(self, record: OwnerRecord, revision: int) -> int:
        self.fail()
        for _ in range(self._turns):
            await asyncio.sleep(0)
        return await super().update(record, revision)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEASE_SECONDS", "POLL_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(election, name, getattr(election, name) / 20)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)


@pytest.mark.parametrize("turns", range(TURNS))
def test_lease_that_nobody_uses_is_not_renewed(tmp_path: Path, turns: int) -> None:
    async def main() -> None:
        registry = RegistryOfAFailingNode(turns)
        log = MemoryLog(MemoryRecords())
        await log.fence(fence_record(1, "n1"))
        replica = Replica(tmp_path / "store", -1, "", lambda: None, None)
        await replica.open(log, lambda: None)

        def fail() -> None:
            replica.failure = StoreError("the disk failed")
            replica.broken.set()

        registry.fail = fail
        try:
            won = await stand_by(registry, replica)
        except StoreError:
            claimed = registry.entry
            await asyncio.sleep(10 * lease.RENEW_SECONDS)
            assert registry.entry == claimed
        else:
            await won.close()
        await replica.close()

    asyncio.run(asyncio.wait_for(main(), 60))


async def stand_by(registry: MemoryRegistry, replica: Replica) -> lease.Lease:
    callbacks = dict.fromkeys(("serving", "not_serving", "standing_by"), lambda: None)
    node = Node(Settings(node_name="n1"), max_connections=-1, max_tables=-1, **callbacks)
    node._registry = registry  # type: ignore[assignment]
    return await node._stand_by(replica)
