"""A node that is behind and gets nothing from the log asks it again. Which node's store is copied."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mq9fast.cluster import upkeep
from mq9fast.cluster.connection import Access
from mq9fast.cluster.jetstream_log import JetStreamLog
from mq9fast.cluster.presence import FAR_RECORDS, NodeState, copy_source
from mq9fast.cluster.record import fence_record
from mq9fast.cluster.replica import Replica
from mq9fast.cluster.upkeep import Upkeep
from tests.support.nats_cluster import NatsCluster
from tests.support.waiting import wait_until_async

# The code of JetStream for a consumer that is gone.
NO_CONSUMER = 10014


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(tmp_path / "servers")
    yield cluster
    cluster.end()


def test_consumer_that_sends_nothing_is_replaced(
    servers: NatsCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "STUCK_SECONDS", 1.0)

    async def case() -> None:
        log = JetStreamLog(Access(servers.urls), "LOG")
        await log.connect()
        await log.create()
        await log.fence(fence(1))
        replica = Replica(tmp_path / "store", -1, "", lambda: None, None)
        await replica.open(log, lambda: None)
        assert replica.follower is not None
        await replica.follower.reach(1)
        end = await one_that_does_not_come(log, replica)
        others = [NodeState(node="other", instance="", applied=end)]
        task = asyncio.create_task(Upkeep(lambda: replica, lambda: None, lambda: others).run())

        async def moves_on() -> bool:
            return replica.applied == end

        await wait_until_async(moves_on)
        task.cancel()
        await replica.close()
        await log.close()

    asyncio.run(case())


def fence(epoch: int) -> bytes:
    return fence_record(epoch, "node")


async def one_that_does_not_come(log: JetStreamLog, replica: Replica) -> int:
    """Append records until one is not read, because the servers have paused the consumer. Its number."""
    for epoch in range(2, 100):
        # The first records may be read before there is a consumer.
        await pause_consumers(log)
        end = await log.fence(fence(epoch))
        await asyncio.sleep(0.5)
        if replica.applied < end:
            return end
    raise AssertionError("the consumer was not paused")


async def pause_consumers(log: JetStreamLog) -> None:
    """Have the servers send heartbeats and no records."""
    connection = log._connection
    listed = await connection.ask("$JS.API.CONSUMER.NAMES.LOG", {}, 5)
    for name in listed["consumers"]:
        answer = await connection.ask(
            f"$JS.API.CONSUMER.PAUSE.LOG.{name}", {"pause_until": "2100-01-01T00:00:00Z"}, 5
        )
        assert answer.get("paused") or answer["error"]["err_code"] == NO_CONSUMER, json.dumps(answer)


def node(name: str, role: str, applied: int) -> NodeState:
    return NodeState(node=name, instance=name, role=role, applied=applied, transfer=f"{name}:1")


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        ([], None),
        ([node("empty", "standby", 0)], None),
        ([node("empty", "standby", 0), node("owner", "owner", 5)], "owner"),
        ([node("near", "standby", 4), node("owner", "owner", 5)], "near"),
        ([node("one", "standby", 3), node("two", "standby", 4), node("owner", "owner", 5)], "two"),
        ([node("far", "standby", 1), node("owner", "owner", FAR_RECORDS + 2)], "owner"),
        ([node("seeding", "seeding", 9)], None),
    ],
)
def test_source_of_a_copy(nodes: list[NodeState], wanted: str | None) -> None:
    found = copy_source(nodes)
    assert (found and found.node) == wanted
