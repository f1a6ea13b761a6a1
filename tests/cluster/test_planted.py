"""Faults that are planted in the code of the nodes: the random work and the checker find each of them."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.cluster.harness.check import Checked
from tests.cluster.harness.cuts import leave_owner_to_readers
from tests.cluster.harness.scene import Inject, Scene
from tests.cluster.harness.workload import ClusterWorkload, QuietWorkload
from tests.support.local_cluster import BROKER, CLIENTS, NAMES, LocalCluster
from tests.support.nats_server import NATS_SERVER
from tests.support.network import Network, NetworkError
from tests.support.waiting import wait_until

PLANTED = Path(__file__).parents[1] / "support/planted"
# How long clients may work with the new owner.
PLANTED_SECONDS = 3.0
pytestmark = [
    pytest.mark.skipif(
        NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
    ),
    # nats-py leaves the socket of a connection that it has lost to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


async def kill(scene: Scene) -> None:
    """Kill the owner. With a fault, the cluster need not serve soon after."""
    await scene.acknowledged()
    await scene.work()
    with scene.history.fault("owner_change"):
        owner = await scene.owner()
        await scene.signal(owner, BROKER, signal.SIGKILL)
        await scene.wait_for_role("owner", *NAMES)
        await asyncio.sleep(PLANTED_SECONDS)


def rules_broken(
    cluster: LocalCluster, workload: type[ClusterWorkload], *faults: Inject, look: bool = True
) -> set[str]:
    """The rules that a cluster breaks. `look`: see `Checked.run`."""
    checked = Checked(cluster, "planted", workload)
    try:
        return {violation.rule for violation in checked.run(*faults, look=look)}
    finally:
        cluster.kill_all()


def test_reply_before_the_append(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, PYTHONPATH=str(PLANTED / "reply_before_append"))
    broken = rules_broken(cluster, ClusterWorkload, kill, kill, look=False)
    assert broken & {"lost", "ids", "twice"}, broken


def test_no_fence_and_nobody_minds(tmp_path: Path) -> None:
    """A new owner that has not read the whole log tells clients what is no longer true."""
    cluster = LocalCluster(tmp_path, PYTHONPATH=str(PLANTED / "no_fence_anywhere"))
    broken = rules_broken(cluster, QuietWorkload, kill, look=False)
    assert broken & {"lost", "returned"}, broken


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
