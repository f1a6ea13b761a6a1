"""A cluster is upgraded node by node to a version that writes another format, while clients work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness.check import survives
from tests.cluster.harness.scene import Scene, others
from tests.support.counted_sends import sends_survive
from tests.support.local_cluster import NAMES, LocalCluster, needs_nodes
from tests.support.waiting import START_SECONDS, wait_until

pytestmark = needs_nodes
LATER_VERSION = str(Path(__file__).parents[1] / "support/later_version")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Before its upgrade."""
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()


def stands_by(cluster: LocalCluster, name: str) -> bool:
    """Whether `mq9fast cluster status` shows the node as a standby with nothing behind."""
    row = next((row for row in cluster.rows() if row["node"] == name), None)
    return row is not None and row["role"] == "standby" and row["behind"] == 0


def upgrade_node(cluster: LocalCluster, name: str) -> None:
    """The steps of docs/cluster.md. An owner hands over when it stops."""
    cluster.stop(name)
    cluster.start(name, PYTHONPATH=LATER_VERSION)
    wait_until(lambda: stands_by(cluster, name), START_SECONDS)


async def upgrade(scene: Scene) -> None:
    """Standbys first, then the owner."""
    await scene.work()
    owner = await scene.owner()
    for name in (*others(owner), owner):
        async with scene.owner_may_change(name):
            await scene.blocking(upgrade_node, scene.cluster, name)


def test_upgrade_under_load(cluster: LocalCluster) -> None:
    former = cluster.owner()
    checked = survives(cluster, "upgraded", upgrade)
    assert cluster.owner() != former
    codes = {request.reply["code"] for request in checked.history.requests if request.is_refused}
    assert "store_unavailable" not in codes


def test_node_of_the_former_version_stops_until_it_is_upgraded(cluster: LocalCluster) -> None:
    """It keeps its store meanwhile, and serves nobody."""

    def downgrade(cluster: LocalCluster) -> None:
        name = next(name for name in NAMES if name != cluster.owner())
        cluster.stop(name)
        cluster.start(name)
        wait_until(lambda: "newer_format" in cluster.health(name), START_SECONDS)
        assert cluster.roles()[name] == "stopped"
        assert "upgrade this node" in cluster.health(name)
        tables = list(cluster.data_dir(name).glob("*.sst"))
        cluster.stop(name)
        assert tables and all(table.exists() for table in tables)
        cluster.start(name, PYTHONPATH=LATER_VERSION)
        cluster.wait_until_whole()
        assert "copied a store" not in (cluster.directory / f"{name}.log").read_text()

    sends_survive(cluster, "downgraded", downgrade)
