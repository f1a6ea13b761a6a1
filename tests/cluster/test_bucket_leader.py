"""The owner's bucket is not led by the nats-server on the owner's machine: both would be lost together."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from mq9fast.cluster import bucket_leader
from mq9fast.cluster.bucket_leader import keep_leader_away
from mq9fast.cluster.jetstream_registry import JetStreamRegistry
from mq9fast.cluster.registry import RegistryError
from tests.support.local_cluster import OWNER_BUCKET, LocalCluster
from tests.support.nats_cluster import SIZE, NatsCluster
from tests.support.nats_server import NATS_SERVER
from tests.support.waiting import START_SECONDS, wait_until, wait_until_async
from tests.support.wire_client import Wire

pytestmark = pytest.mark.skipif(
    NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(tmp_path / "servers")
    yield cluster
    cluster.end()


def move_bucket_to(cluster: LocalCluster, name: str) -> None:
    """Have the nats-server of a node lead the bucket."""
    if cluster.leader(OWNER_BUCKET) == name:
        return
    wanted = json.dumps({"placement": {"preferred": name}}).encode()
    with Wire(cluster.peers[name].log_port) as wire:
        answer = wire.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{OWNER_BUCKET}", wanted).json
    assert answer.get("success"), answer


def epoch_of(cluster: LocalCluster, name: str) -> int:
    return next(int(each["epoch"]) for each in cluster.states(name) if each["node"] == name)


def test_another_server_leads_the_bucket_of_the_owner(cluster: LocalCluster) -> None:
    owner = cluster.owner()
    epoch = epoch_of(cluster, owner)
    move_bucket_to(cluster, owner)
    wait_until(lambda: cluster.leader(OWNER_BUCKET) == owner, START_SECONDS)
    wait_until(lambda: cluster.leader(OWNER_BUCKET) != owner, START_SECONDS)
    assert cluster.owner() == owner
    assert epoch_of(cluster, owner) == epoch


def test_leader_is_moved_from_one_server_alone(
    servers: NatsCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bucket_leader, "LOOK_SECONDS", 0.05)
    caplog.set_level(logging.DEBUG, "mq9fast.cluster")

    async def case() -> None:
        client = await nats.connect(servers.urls, max_reconnect_attempts=-1)
        registry = JetStreamRegistry(client, "MQ9")
        await registry.create()
        info = client.jetstream().stream_info
        first = (await info(OWNER_BUCKET)).cluster.leader
        assert not await registry.move_leader_from("another")
        assert (await info(OWNER_BUCKET)).cluster.leader == first

        async def was_asked() -> bool:
            return await registry.move_leader_from(first)

        await wait_until_async(was_asked)
        for i in range(SIZE):
            servers.kill(i)
        with pytest.raises(RegistryError):
            await registry.move_leader_from(first)
        task = asyncio.create_task(keep_leader_away(registry, first))
        while caplog.text.count("was not moved") < 2:
            assert not task.done()
            await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(OSError):
            await client.close()

    asyncio.run(case())
