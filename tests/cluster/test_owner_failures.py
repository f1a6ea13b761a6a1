"""What clients of an owner see while its log is away or full, and when another node has taken over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mq9fast.cluster import appender, log_syncer
from mq9fast.cluster.log import Deposed, LogError
from mq9fast.cluster.record import fence_record
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.commit import healing
from mq9fast.server.broker import Broker
from tests.support.memory_log import MemoryLog, MemoryRecords
from tests.support.nats_py import PatientClient, connect
from tests.support.owner import become_owner, copy_of, owner, rows_of
from tests.support.waiting import wait_until_async

SEND = "$mq9.AI.MAILBOX.MSG.test.a"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(log_syncer, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(appender, "ANSWER_SECONDS", 0.05)


class Owner:
    """A running owner with one client, which has created a mailbox."""

    broker: Broker
    client: PatientClient

    def __init__(self, path: Path) -> None:
        self.records = MemoryRecords()
        self.log = MemoryLog(self.records)
        self.store = ReplicatedStore(path / "owner")
        self.lost: list[LogError] = []
        self.may_read = True

    async def start(self) -> None:
        await become_owner(self.log, self.store, 1)
        self.broker = owner(self.log, self.store, may_read=lambda: self.may_read, lost=self.lost.append)
        await self.broker.start()
        self.client = await connect(f"nats://127.0.0.1:{self.broker.address[1]}")
        await self.client.request("$mq9.AI.MAILBOX.CREATE", b'{"name": "test.a"}')

    async def send(self, body: bytes) -> bytes:
        return (await self.client.request(SEND, body)).data

    async def listed(self) -> bytes:
        return (await self.client.request("$mq9.AI.MAILBOX.LIST.test.a")).data

    async def accepts(self) -> bool:
        return b"msg_id" in await self.send(b"accepted")


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Owner]:
    node = Owner(path)
    await node.start()
    try:
        yield node
    finally:
        await node.client.close()
        await node.broker.stop()


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Owner], Awaitable[Any]]], None]:
    def run(case: Callable[[Owner], Awaitable[Any]]) -> None:
        async def main() -> None:
            async with serving(tmp_path) as node:
                await case(node)

        asyncio.run(main())

    return run


Run = Callable[[Callable[[Owner], Awaitable[Any]]], None]


def test_log_that_is_away_for_a_while(run: Run) -> None:
    async def case(node: Owner) -> None:
        node.log.is_away = True
        sending = asyncio.create_task(node.send(b"waits"))
        await wait_until_async(lambda: _holds(lambda: not node.broker.health.ok))
        assert "the replicated log has not answered for" in node.broker.health.reasons[0]
        assert not sending.done()
        node.log.is_away = False
        assert b"msg_id" in await sending
        assert node.broker.health.ok and not node.lost

    run(case)


async def _holds(condition: Callable[[], bool]) -> bool:
    return condition()


def test_full_log_refuses_and_heals_when_it_is_trimmed(run: Run, tmp_path: Path) -> None:
    async def case(node: Owner) -> None:
        assert await node.accepts()
        copy = await copy_of(node.log, tmp_path / "copy")
        copy.close()
        before = node.log.end()
        node.records.max_bytes = sum(map(len, node.records.records)) + 10
        assert b"store_unavailable" in await node.send(b"refused")
        assert "full" in node.broker.health.reasons[0]
        assert b"store_unavailable" in await node.send(b"refused")
        listed = await node.listed()
        assert b"accepted" in listed and b"refused" not in listed
        await node.log.trim(before)
        node.records.max_bytes = 0
        await wait_until_async(node.accepts)
        assert node.broker.health.ok and not node.lost
        listed = await node.listed()
        assert b"refused" not in listed
        copy = await copy_of(node.log, tmp_path / "copy")
        assert rows_of(copy) == rows_of(node.store)
        copy.close()

    run(case)


def test_another_node_has_taken_over(run: Run) -> None:
    async def case(node: Owner) -> None:
        await MemoryLog(node.records).fence(fence_record(2, "n2"))
        assert b"store_unavailable" in await node.send(b"refused")
        assert isinstance(node.lost[0], Deposed) and len(node.lost) == 1
        assert b"store_unavailable" in await node.send(b"refused")
        assert len(node.records.records) == node.log.end() + 1

    run(case)


def test_reads_wait_for_an_append_without_the_lease(run: Run) -> None:
    async def case(node: Owner) -> None:
        assert await node.accepts()
        before = node.log.end()
        await node.listed()
        assert node.log.end() == before
        node.may_read = False
        assert b"accepted" in await node.listed()
        assert node.log.end() == before + 1

    run(case)


def test_deliveries_wait_for_the_lease(run: Run) -> None:
    async def case(node: Owner) -> None:
        assert await node.accepts()
        node.may_read = False
        subscription = await node.client.subscribe(SEND)
        await node.client.flush()
        with pytest.raises(Exception):  # noqa: B017 (nats-py's TimeoutError has several names)
            await subscription.next_msg(timeout=0.2)
        node.may_read = True
        assert (await subscription.next_msg(timeout=60)).data == b"accepted"

    run(case)


def test_reads_of_a_deposed_owner_are_refused(run: Run) -> None:
    async def case(node: Owner) -> None:
        assert await node.accepts()
        node.may_read = False
        await MemoryLog(node.records).fence(fence_record(2, "n2"))
        assert b"store_unavailable" in await node.listed()
        assert isinstance(node.lost[0], Deposed)
        # Whatever the clock says.
        node.may_read = True
        assert b"store_unavailable" in await node.listed()

    run(case)
