"""A node does not start on a log that could lose what it acknowledges."""

from pathlib import Path

import pytest

from tests.support.broker import start_error
from tests.support.nats_cluster import NatsCluster
from tests.support.nats_server import NATS_SERVER

pytestmark = pytest.mark.skipif(NATS_SERVER is None, reason="needs nats-server")


def test_servers_that_do_not_fsync_are_refused(tmp_path: Path) -> None:
    servers = NatsCluster(tmp_path / "log", sync_always=False)
    try:
        sentence = start_error(
            "--data-dir",
            tmp_path / "data",
            "--cluster-log",
            ",".join(servers.urls),
            "--node-name",
            "n1",
            "--cluster-log-monitor",
            ",".join(servers.monitor_urls),
            may_log=True,
        )
    finally:
        servers.end()
    assert "acknowledges before it fsyncs" in sentence and "sync_interval: always" in sentence


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
