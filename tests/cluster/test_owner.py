"""A broker whose commit groups are records of a log, and a follower that has the same store."""

import asyncio
from pathlib import Path

from mq9fast.cluster.replicated_store import ReplicatedStore
from tests.support.memory_log import MemoryLog, MemoryRecords
from tests.support.owner import become_owner, copy_of, owner, rows_of
from tests.support.sends import send


def test_follower_has_the_same_store(tmp_path: Path) -> None:
    async def main() -> None:
        log, store = MemoryLog(MemoryRecords()), ReplicatedStore(tmp_path / "a")
        await become_owner(log, store, 1)
        broker = owner(log, store)
        await broker.start()
        replies = await send(broker.address[1], 500)
        assert len(set(replies)) == 500 and all(b"msg_id" in reply for reply in replies)
        await send(broker.address[1], 2, size=600_000)
        copy = await copy_of(log, tmp_path / "b")
        assert rows_of(copy) == rows_of(store)
        assert len(rows_of(copy)) > 10
        copy.close()
        await broker.stop()

    asyncio.run(main())
