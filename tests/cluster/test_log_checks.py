"""A node does not start on a log that could lose what it acknowledges."""

import asyncio
from pathlib import Path

import nats
import nats.js.api
import pytest

from tests.support.broker import start_error
from tests.support.nats_cluster import NatsCluster
from tests.support.nats_server import NATS_SERVER

pytestmark = pytest.mark.skipif(NATS_SERVER is None, reason="needs nats-server")


def test_servers_that_do_not_fsync_are_refused(tmp_path: Path) -> None:
    servers = NatsCluster(tmp_path / "log", sync_always=False)
    try:
        sentence = start_error(*flags_of(servers, tmp_path), may_log=True)
    finally:
        servers.end()
    assert "acknowledges before it fsyncs" in sentence and "sync_interval: always" in sentence


def test_a_stream_with_one_replica_is_refused(tmp_path: Path) -> None:
    servers = NatsCluster(tmp_path / "log")

    async def create() -> None:
        client = await nats.connect(servers.urls[0])
        config = nats.js.api.StreamConfig(
            name="MQ9_LOG",
            subjects=["MQ9_LOG.log"],
            num_replicas=1,
            discard=nats.js.api.DiscardPolicy.NEW,
            allow_direct=True,
        )
        await client.jetstream().add_stream(config)
        await client.close()

    try:
        asyncio.run(create())
        sentence = start_error(*flags_of(servers, tmp_path), may_log=True)
    finally:
        servers.end()
    assert "has 1 replicas instead of 3" in sentence


def flags_of(servers: NatsCluster, tmp_path: Path) -> list[str | Path]:
    return [
        "--data-dir",
        tmp_path / "data",
        "--cluster-log",
        ",".join(servers.urls),
        "--node-name",
        "n1",
        "--cluster-log-monitor",
        ",".join(servers.monitor_urls),
    ]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--cluster-log", "nats://a"), "cluster_log needs node_name"),
        (("--cluster-log", "nats://a", "--node-name", "n1"), "cluster_log needs cluster_log_monitor"),
        (
            ("--cluster-log", "a", "--node-name", "n1", "--cluster-log-monitor", "a", "--sync", "never"),
            "syncs each acknowledgement",
        ),
        (
            ("--cluster-log", "a", "--node-name", "n 1", "--cluster-log-monitor", "a"),
            "is not 1 to 32",
        ),
    ],
)
def test_settings_that_do_not_fit(flags: tuple[str, ...], reason: str) -> None:
    assert reason in start_error(*flags)
