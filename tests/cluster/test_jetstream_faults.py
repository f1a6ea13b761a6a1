"""The leader of the log is killed or stopped while an owner serves: clients wait, and nothing is lost."""

import asyncio
import json
from pathlib import Path

import pytest

from mq9fast.cluster.connection import Access
from mq9fast.cluster.jetstream_log import JetStreamLog
from mq9fast.cluster.log import LogError
from mq9fast.cluster.replicated_store import ReplicatedStore
from tests.support.nats_cluster import NatsCluster
from tests.support.nats_py import PatientClient, connect
from tests.support.owner import become_owner, copy_of, owner, rows_of
from tests.support.waiting import wait_until_async

SENDERS = 4


async def leader(log: JetStreamLog) -> int:
    """The number of the server that leads the stream."""
    answer = await log._connection.ask("$JS.API.STREAM.INFO.LOG", {}, 5)
    return int(answer["cluster"]["leader"].removeprefix("n"))


async def send_on(client: PatientClient, replies: list[bytes], stop: asyncio.Event) -> None:
    while not stop.is_set():
        replies.append((await client.request("$mq9.AI.MAILBOX.MSG.test.a", bytes(100))).data)


async def more(replies: list[bytes]) -> None:
    """Wait for 50 more replies."""
    wanted = len(replies) + 50

    async def have_come() -> bool:
        return len(replies) >= wanted

    await wait_until_async(have_come)


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_leader_of_the_log_fails(tmp_path: Path, fault: str) -> None:
    servers = NatsCluster(tmp_path / "servers")

    async def main() -> None:
        log = JetStreamLog(Access(servers.urls), "LOG")
        await log.connect()
        while True:
            try:
                await log.create()
                break
            except LogError:
                await asyncio.sleep(0.1)
        store = ReplicatedStore(tmp_path / "a")
        await become_owner(log, store, 1)
        broker = owner(log, store)
        await broker.start()
        client = await connect(f"nats://127.0.0.1:{broker.address[1]}")
        await client.request("$mq9.AI.MAILBOX.CREATE", b'{"name": "test.a"}')
        replies: list[bytes] = []
        stop = asyncio.Event()
        sending = [asyncio.create_task(send_on(client, replies, stop)) for _ in range(SENDERS)]
        await more(replies)
        failed = await leader(log)
        getattr(servers, fault)(failed)
        await more(replies)
        stop.set()
        await asyncio.gather(*sending)
        assert broker.health.ok
        ids = [json.loads(reply)["msg_id"] for reply in replies]
        assert len(set(ids)) == len(ids)
        copy = await copy_of(log, tmp_path / "b")
        assert rows_of(copy) == rows_of(store)
        listed = await client.request("$mq9.AI.MAILBOX.LIST.test.a", b'{"limit": 1}')
        assert json.loads(listed.data)["total"] == len(ids)
        copy.close()
        await client.close()
        await broker.stop()
        await log.close()

    try:
        asyncio.run(main())
    finally:
        servers.end()
