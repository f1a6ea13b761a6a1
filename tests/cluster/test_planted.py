"""Faults that are planted in the code of the nodes: the random work and the checker find each of them."""

import asyncio
from pathlib import Path

import pytest

from tests.cluster.fresh_reads import check_reads_after_kill
from tests.cluster.harness.check import Checked
from tests.cluster.harness.cuts import leave_owner_to_readers
from tests.cluster.harness.scene import Inject
from tests.cluster.harness.workload import ClusterWorkload, QuietWorkload
from tests.support.local_cluster import CLIENTS, NAMES, LocalCluster
from tests.support.nats_server import NATS_SERVER
from tests.support.network import Network, NetworkError
from tests.support.waiting import wait_until

PLANTED = Path(__file__).parents[1] / "support/planted"
# A fault shows at one of so many kills.
KILLS = 8
pytestmark = [
    pytest.mark.skipif(
        NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
    ),
    # nats-py leaves the socket of a connection that it has lost to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def rules_broken(
    cluster: LocalCluster, workload: type[ClusterWorkload], *faults: Inject, look: bool = True
) -> set[str]:
    """The rules that a cluster breaks. `look`: see `Checked.run`."""
    checked = Checked(cluster, "planted", workload)
    try:
        return {violation.rule for violation in checked.run(*faults, look=look)}
    finally:
        cluster.kill_all()


@pytest.mark.parametrize("fault", ["reply_before_append", "no_fence_anywhere"])
def test_new_owner_that_lacks_what_was_acknowledged(fault: str, tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, PYTHONPATH=str(PLANTED / fault))

    async def kills() -> None:
        for number in range(KILLS):
            await check_reads_after_kill(cluster, f"planted.{number}")

    try:
        # Where it loses too much, it does not serve again.
        with pytest.raises(AssertionError, match=r"lost|in time"):
            asyncio.run(kills())
    finally:
        cluster.kill_all()


def test_reads_without_a_lease(tmp_path: Path) -> None:
    try:
        network = Network([*NAMES, CLIENTS])
    except (NetworkError, OSError) as error:
        pytest.skip(f"no network can be cut here: {error}")
    try:
        cluster = LocalCluster(tmp_path, network=network, PYTHONPATH=str(PLANTED / "reads_without_lease"))
        assert "lost" in rules_broken(cluster, QuietWorkload, leave_owner_to_readers, look=False)
    finally:
        network.close()


def test_no_fence(tmp_path: Path) -> None:
    """The standbys refuse records of an owner that did not fence the log."""
    cluster = LocalCluster(tmp_path, PYTHONPATH=str(PLANTED / "no_fence"), whole=False)

    def fault_is_told() -> bool:
        return any(
            each["faults"] for name in NAMES for each in (cluster.status(name) or {"nodes": ()})["nodes"]
        )

    try:
        wait_until(fault_is_told)
    finally:
        cluster.kill_all()
