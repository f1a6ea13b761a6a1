"""Three nodes on this machine, and what kills and stops of each of their processes do to clients."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness.check import survives
from tests.cluster.harness.failures import (
    forget_standby,
    hand_over,
    kill_everything,
    kill_log_leader,
    kill_owner,
    kill_standby,
    lose_owner,
    stop_log_leader,
    stop_majority_of_log,
    stop_owner,
    stop_standby,
)
from tests.cluster.harness.scene import Scene
from tests.fault.history.history import History
from tests.support.local_cluster import NAMES, LocalCluster
from tests.support.nats_server import NATS_SERVER
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(
        NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
    ),
    # nats-py leaves the socket of a connection that it has lost to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()


def test_status_shows_each_node(cluster: LocalCluster) -> None:
    # The nodes tell each other their states twice a second.
    wait_until(lambda: [row["node"] for row in cluster.rows()] == list(NAMES))
    wait_until(lambda: sum(row["role"] == "owner" for row in cluster.rows()) == 1)
    assert all(row["behind"] >= 0 and row["faults"] == "" for row in cluster.rows())


def test_killed_owner(cluster: LocalCluster) -> None:
    survives(cluster, "killed.owner", kill_owner, kill_owner)


def test_handover(cluster: LocalCluster) -> None:
    history = survives(cluster, "handover", hand_over).history
    codes = {request.reply["code"] for request in history.requests if request.is_refused}
    assert "store_unavailable" not in codes


def test_stopped_owner_that_goes_on(cluster: LocalCluster) -> None:
    survives(cluster, "stopped.owner", stop_owner)


def test_killed_standby(cluster: LocalCluster) -> None:
    survives(cluster, "killed.standby", kill_standby)


def test_stopped_standby(cluster: LocalCluster) -> None:
    survives(cluster, "stopped.standby", stop_standby)


def test_killed_and_stopped_leader_of_the_log(cluster: LocalCluster) -> None:
    survives(cluster, "leader", kill_log_leader, stop_log_leader)


def test_majority_of_the_log_stopped(cluster: LocalCluster) -> None:
    """Nothing is acknowledged meanwhile. What was sent is stored, or its sender knows no outcome."""
    stopped: list[tuple[float, float]] = []

    async def stop(scene: Scene) -> None:
        stopped.append(await stop_majority_of_log(scene))

    history = survives(cluster, "majority", stop).history
    ((begun, ended),) = stopped
    assert not any(begun < one.begun and one.ended < ended for one in acknowledged(history))


def acknowledged(history: History) -> list[Any]:
    return [request for request in history.requests if request.verb == "msg" and request.is_ok]


def test_lost_machine_of_the_owner(cluster: LocalCluster) -> None:
    survives(cluster, "lost.machine", lose_owner)


def test_everything_killed(cluster: LocalCluster) -> None:
    survives(cluster, "everything", kill_everything)


def test_standby_without_a_store_gets_one(cluster: LocalCluster) -> None:
    survives(cluster, "forgotten", forget_standby)
