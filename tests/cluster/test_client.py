"""The Python client on a cluster: users see no failure while owners are killed, stopped and handed over."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

import mq9fast
from mq9fast.client import Mq9
from tests.support.local_cluster import BROKER, NAMES, LocalCluster, needs_nodes
from tests.support.waiting import wait_until

pytestmark = needs_nodes
# The machine may be busy.
TIMEOUT_SECONDS = 60


def test_status_shows_each_node(cluster: LocalCluster) -> None:
    # The nodes tell each other their states twice a second.
    wait_until(lambda: [row["node"] for row in cluster.rows()] == list(NAMES))
    wait_until(lambda: sum(row["role"] == "owner" for row in cluster.rows()) == 1)
    assert all(row["behind"] >= 0 and row["faults"] == "" for row in cluster.rows())


def signal_owner(cluster: LocalCluster, number: signal.Signals) -> None:
    owner = cluster.owner()
    pid = cluster.signal(owner, BROKER, number)
    try:
        wait_until(lambda: "owner" in {cluster.roles().get(name) for name in NAMES if name != owner})
    finally:
        if number == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    cluster.wait_until_whole()


async def use_while(cluster: LocalCluster, address: str, fault: Callable[[], None]) -> None:
    """Send, list, delete and process messages until the fault is over, and a little longer."""
    url, done = cluster.urls[NAMES.index(cluster.owner())], asyncio.Event()
    sent: list[int] = []
    processed: set[int] = set()

    async def send(mq9: Mq9) -> None:
        while not done.is_set():
            stored = await mq9.send(address, len(sent))
            assert not stored.duplicate
            sent.append(stored.msg_id)

    async def process(mq9: Mq9) -> None:
        async for message in mq9.group(address, "workers"):
            async with message:
                processed.add(message.body)

    async with mq9fast.connect(url, timeout=TIMEOUT_SECONDS) as mq9:
        await mq9.create(address)
        await mq9.create(f"{address}.other")
        tasks = [asyncio.create_task(work(mq9)) for work in (send, process)]
        await asyncio.to_thread(fault)
        kept = await mq9.send(f"{address}.other", "kept")
        assert [each.msg_id async for each in mq9.list(f"{address}.other")] == [kept.msg_id]
        assert await mq9.delete(f"{address}.other", kept.msg_id)
        done.set()
        await tasks[0]
        while len(processed) < len(sent) and not tasks[1].done():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        tasks[1].cancel()
    # Each number was sent by one call, and stored once.
    assert sent == sorted(set(sent)) and processed == set(range(len(sent)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_user_sees_no_failure(cluster: LocalCluster, number: signal.Signals) -> None:
    async def test() -> None:
        await use_while(cluster, f"of.{number.name.lower()}", lambda: signal_owner(cluster, number))

    asyncio.run(asyncio.wait_for(test(), 300))
