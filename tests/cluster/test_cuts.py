"""Three nodes, each with a network of its own, and clients: what cut, slow and lossy links do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness.check import Checked, survives
from tests.cluster.harness.cuts import (
    cut_log_leader_off,
    cut_owner_from_log_leader,
    cut_owner_from_nodes,
    cut_owner_off,
    cut_standby_off,
    deafen_owner,
    flap_links_of_owner,
    mute_owner,
    slow_and_lossy_links,
)
from tests.cluster.harness.scene import Scene
from tests.support.local_cluster import CLIENTS, NAMES, LocalCluster
from tests.support.nats_server import NATS_SERVER
from tests.support.network import Network, NetworkError

pytestmark = [
    pytest.mark.skipif(
        NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
    ),
    # nats-py leaves the socket of a connection that it has lost to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    try:
        network = Network([*NAMES, CLIENTS])
    except (NetworkError, OSError) as error:
        pytest.skip(f"no network can be cut here: {error}")
    yield network
    network.close()


@pytest.fixture(scope="module")
def cluster(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), network=network)
    yield cluster
    cluster.end()


def test_owner_cut_off(cluster: LocalCluster) -> None:
    survives(cluster, "cut.owner", cut_owner_off)


def test_owner_cut_off_from_nodes_but_not_from_clients(cluster: LocalCluster) -> None:
    """Once the new owner has acknowledged something, the old one neither acknowledges nor reads."""
    former: list[str] = []

    async def cut(scene: Scene) -> None:
        former.append(cluster.url(await scene.owner()))
        await cut_owner_from_nodes(scene)

    check_one_owner(survives(cluster, "two.owners", cut), former[0])


def check_one_owner(checked: Checked, former: str) -> None:
    """Check that the former owner replied to nothing that was asked after another one had replied."""
    history, nodes = checked.history, checked.workload.nodes
    cut_at = history.faults[0].begun
    since = min(
        request.ended
        for request in history.requests
        if nodes[request.client] != former and request.begun > cut_at and request.is_ok
    )
    asked = [
        request for request in history.requests if nodes[request.client] == former and request.begun > since
    ]
    assert {request.verb for request in asked} >= {"msg"}, "no client stayed with the former owner"
    # A refusal is no promise.
    assert not [request for request in asked if request.is_ok]
    listings = [one for one in history.listings if nodes[one.client] == former and one.begun > since]
    assert not [listing for listing in listings if not listing.code]


def test_owner_cut_off_from_the_leader_of_the_log(cluster: LocalCluster) -> None:
    survives(cluster, "cut.from.leader", cut_owner_from_log_leader)


def test_owner_that_hears_nothing(cluster: LocalCluster) -> None:
    survives(cluster, "deaf.owner", deafen_owner)


def test_owner_that_nodes_do_not_hear(cluster: LocalCluster) -> None:
    survives(cluster, "mute.owner", mute_owner)


def test_standby_cut_off(cluster: LocalCluster) -> None:
    survives(cluster, "cut.standby", cut_standby_off)


def test_leader_of_the_log_cut_off(cluster: LocalCluster) -> None:
    survives(cluster, "cut.leader", cut_log_leader_off)


def test_flapping_links(cluster: LocalCluster) -> None:
    survives(cluster, "flapping", flap_links_of_owner)


def test_slow_and_lossy_links(cluster: LocalCluster) -> None:
    survives(cluster, "slow", slow_and_lossy_links)
