"""The owner's bucket is not led by the nats-server on the owner's machine: both would be lost together."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from mq9fast.cluster import bucket_leader
from mq9fast.cluster.bucket_leader import keep_leader_away
from mq9fast.cluster.jetstream_registry import JetStreamRegistry
from mq9fast.cluster.nats_connection import NATS_ERRORS
from mq9fast.cluster.registry import RegistryError
from tests.support.local_cluster import OWNER_BUCKET, LocalCluster, needs_nodes
from tests.support.nats_cluster import SIZE, NatsCluster
from tests.support.waiting import START_SECONDS, wait_until, wait_until_async
from tests.support.wire_client import Wire

pytestmark = needs_nodes


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(tmp_path / "servers")
    yield cluster
    cluster.end()


def move_bucket_to(cluster: LocalCluster, name: str) -> None:
    """Ask for the nats-server of a node as the leader of the bucket. That fails if it leads already."""
    wanted = json.dumps({"placement": {"preferred": name}}).encode()
    with Wire(cluster.peers[name].log_port) as wire:
        wire.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{OWNER_BUCKET}", wanted)


def epoch_of(cluster: LocalCluster, name: str) -> int:
    return next(int(each["epoch"]) for each in cluster.states(name) if each["node"] == name)


def test_another_server_leads_the_bucket_of_the_owner(cluster: LocalCluster) -> None:
    owner = cluster.owner()
    epoch = epoch_of(cluster, owner)
    log = cluster.directory / f"{owner}.log"
    line = f"leads the owner's bucket, instead of {owner}"
    before = log.read_text().count(line)

    def was_moved() -> bool:
        move_bucket_to(cluster, owner)
        # The owner looks again after this time.
        time.sleep(bucket_leader.LOOK_SECONDS)
        return log.read_text().count(line) > before

    wait_until(was_moved, START_SECONDS)
    wait_until(lambda: cluster.leader(OWNER_BUCKET) != owner, START_SECONDS)
    assert cluster.owner() == owner
    assert epoch_of(cluster, owner) == epoch


def test_leader_is_moved_from_one_server_alone_and_not_to_the_former_one(
    servers: NatsCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bucket_leader, "LOOK_SECONDS", 0.05)
    caplog.set_level(logging.DEBUG, "mq9fast.cluster")

    async def case() -> None:
        client = await nats.connect(servers.urls, max_reconnect_attempts=-1)
        registry = JetStreamRegistry(client, "MQ9")
        await registry.create()

        async def leader() -> str | None:
            return (await client.jetstream().stream_info(OWNER_BUCKET)).cluster.leader

        first = await leader()
        second, third = (name for name in ("n0", "n1", "n2") if name != first)
        assert await registry.move_leader_from("another", {"another"}) is None
        assert await registry.move_leader_from(first, {first, second, third}) is None
        assert await leader() == first
        moved: list[str | None] = []

        async def has_moved() -> bool:
            moved[:] = [await registry.move_leader_from(first, {first, second})]
            return moved != [None]

        await wait_until_async(has_moved)
        assert moved == [third]

        async def leads() -> bool:
            with contextlib.suppress(*NATS_ERRORS):
                return await leader() == third
            return False

        await wait_until_async(leads)
        for i in range(SIZE):
            servers.kill(i)
        with pytest.raises(RegistryError):
            await registry.move_leader_from(third, {third})
        task = asyncio.create_task(keep_leader_away(registry, third, None))
        while caplog.text.count("was not moved") < 2:
            assert not task.done()
            await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(OSError):
            await client.close()

    asyncio.run(case())
