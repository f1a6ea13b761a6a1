"""An owner that is cut off sends its clients away. They come back when it reaches the cluster again."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mq9fast.cluster import lease, lease_guard
from mq9fast.cluster.election import Election
from mq9fast.cluster.lease import Lease
from mq9fast.cluster.lease_guard import LeaseGuard
from mq9fast.cluster.log_syncer import LogSyncer
from mq9fast.cluster.replicated_store import ReplicatedStore
from mq9fast.commit.syncer import DiskSyncer
from mq9fast.server.broker import Broker
from tests.support.memory_log import MemoryLog, MemoryRecords
from tests.support.memory_registry import MemoryRegistry
from tests.support.nats_py import PatientClient, connect
from tests.support.owner import become_owner, owner
from tests.support.waiting import wait_until_async

SEND, LIST = "$mq9.AI.MAILBOX.MSG.test.a", "$mq9.AI.MAILBOX.LIST.test.a"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the times, so that tests are short."""
    for module, names in (
        (lease, ("TRUST_SECONDS", "RENEW_SECONDS", "OVERDUE_SECONDS", "RETRY_SECONDS")),
        (lease_guard, ("LOOK_SECONDS", "QUIET_SECONDS")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name) / 10)


class GuardedOwner:
    """A broker with a lease, and one client. `guarding` ends if the guard gives up."""

    guarding: "asyncio.Task[None]"
    lease: Lease
    broker: Broker
    client: PatientClient

    def __init__(self, path: Path) -> None:
        self.registry = MemoryRegistry()
        self.log = MemoryLog(MemoryRecords())
        self.store = ReplicatedStore(path)

    async def start(self) -> None:
        self.lease = await Election(self.registry, "n1", "n1-1", lambda: True).win(lambda: None)
        await become_owner(self.log, self.store, 1)
        self.broker = owner(self.log, self.store, may_read=self.lease.may_read)
        await self.broker.start()
        syncer: LogSyncer | DiskSyncer = self.broker.pipeline.syncer
        assert isinstance(syncer, LogSyncer)
        self.guarding = asyncio.create_task(LeaseGuard(self.lease, syncer, self.broker).run())
        self.client = await connect(self.url, allow_reconnect=False)
        await self.client.request("$mq9.AI.MAILBOX.CREATE", b'{"name": "test.a"}')

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.broker.address[1]}"

    def cut_off(self, *, log: bool = True) -> None:
        self.registry.is_away, self.log.is_away = True, log

    def heal(self) -> None:
        self.registry.is_away = self.log.is_away = False

    async def accepts(self) -> bool:
        """Whether a client can connect."""
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(*self.broker.address)
            writer.close()
            await writer.wait_closed()
            return True
        return False

    async def refuses(self) -> bool:
        return not await self.accepts()


@contextlib.asynccontextmanager
async def guarded(path: Path) -> AsyncIterator[GuardedOwner]:
    node = GuardedOwner(path)
    await node.start()
    try:
        yield node
    finally:
        node.guarding.cancel()
        node.heal()
        await node.client.close()
        await node.broker.stop()
        await node.lease.close()


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[GuardedOwner], Awaitable[None]]], None]:
    def run(case: Callable[[GuardedOwner], Awaitable[None]]) -> None:
        async def main() -> None:
            async with guarded(tmp_path / "store") as node:
                await case(node)

        asyncio.run(asyncio.wait_for(main(), 120))

    return run


Run = Callable[[Callable[[GuardedOwner], Awaitable[None]]], None]


async def has_left(node: GuardedOwner) -> None:
    async def closed() -> bool:
        return node.client.is_closed

    await wait_until_async(closed)
    await wait_until_async(node.refuses)
    assert not node.broker.connections


def test_clients_leave_and_come_back(run: Run) -> None:
    """Also one that only reads: nothing is being appended when the node is cut off."""

    async def case(node: GuardedOwner) -> None:
        node.cut_off()
        await has_left(node)
        assert "the lease has run out" in node.broker.health.reasons[-1]
        node.heal()
        await wait_until_async(node.accepts)
        assert not node.guarding.done()
        async with await connect(node.url) as client:
            assert b"msg_id" in (await client.request(SEND, b"after")).data
            assert json.loads((await client.request(LIST)).data)["total"] == 1
        assert node.broker.health.ok

    run(case)


def test_what_was_sent_before_is_stored_once_the_log_answers(run: Run) -> None:
    async def case(node: GuardedOwner) -> None:
        node.cut_off()
        await node.client.publish(SEND, b"no reply")
        await node.client.flush()
        await has_left(node)
        node.heal()
        await wait_until_async(node.accepts)
        async with await connect(node.url) as client:
            assert json.loads((await client.request(LIST)).data)["total"] == 1

    run(case)


def test_clients_stay_while_the_log_answers(run: Run) -> None:
    async def case(node: GuardedOwner) -> None:
        node.cut_off(log=False)
        while node.lease.may_read():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(20):
            assert b"msg_id" in (await node.client.request(SEND, b"acknowledged")).data
            await asyncio.sleep(0.01)
        assert await node.accepts()

    run(case)


def test_clients_stay_while_the_lease_is_renewed(run: Run) -> None:
    async def case(node: GuardedOwner) -> None:
        node.log.is_away = True
        sending = asyncio.create_task(node.client.request(SEND, b"waits"))
        await asyncio.sleep(10 * lease_guard.QUIET_SECONDS)
        node.log.is_away = False
        assert b"msg_id" in (await sending).data

    run(case)


def test_port_that_another_process_has_taken(run: Run) -> None:
    """The guard ends, and the node hands over."""

    async def case(node: GuardedOwner) -> None:
        node.cut_off()
        await has_left(node)
        taken = await asyncio.start_server(lambda reader, writer: writer.close(), *node.broker.address)
        node.heal()
        await asyncio.wait_for(node.guarding, 60)
        taken.close()
        await taken.wait_closed()

    run(case)
