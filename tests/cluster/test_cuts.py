"""Three nodes, each with a network of its own, and clients: what cut, slow and lossy links do."""

from collections.abc import Iterator, Sequence

import pytest

from tests.cluster.harness.check import Checked
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
from tests.cluster.harness.scene import Inject
from tests.cluster.harness.together import LANES, Together, faults_together
from tests.support.local_cluster import CLIENTS, NAMES, LocalCluster, needs_nodes
from tests.support.network import Network, NetworkError

pytestmark = needs_nodes


# Those that take long come first.
FAULTS: dict[str, Sequence[Inject]] = {
    "test_flapping_links": [flap_links_of_owner],
    "test_owner_cut_off_from_the_leader_of_the_log": [cut_owner_from_log_leader],
    "test_owner_cut_off_from_nodes_but_not_from_clients": [cut_owner_from_nodes],
    "test_owner_that_hears_nothing": [deafen_owner],
    "test_owner_that_nodes_do_not_hear": [mute_owner],
    "test_leader_of_the_log_cut_off": [cut_log_leader_off],
    "test_owner_cut_off": [cut_owner_off],
    "test_slow_and_lossy_links": [slow_and_lossy_links],
    "test_standby_cut_off": [cut_standby_off],
}


@pytest.fixture(scope="module")
def networks() -> Iterator[list[Network]]:
    networks: list[Network] = []
    try:
        for _ in range(LANES):
            networks.append(Network([*NAMES, CLIENTS]))
    except (NetworkError, OSError) as error:
        pytest.skip(f"no network can be cut here: {error}")
    yield networks
    for network in networks:
        network.close()


@pytest.fixture(scope="module")
def together(
    request: pytest.FixtureRequest, networks: list[Network], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Together[Checked]]:
    def start(number: int) -> LocalCluster:
        return LocalCluster(tmp_path_factory.mktemp(f"cluster{number}"), network=networks[number])

    with faults_together(request, start, FAULTS) as together:
        yield together


def test_owner_cut_off(survived: Checked) -> None:
    """From everything."""


def test_owner_cut_off_from_nodes_but_not_from_clients(survived: Checked) -> None:
    """It has sent its clients away. Once the new owner has acknowledged something, it neither acknowledges
    nor reads."""
    cut = survived.history.faults[0]
    check_one_owner(survived, survived.cluster.url(cut.note), cut.begun)


def check_one_owner(checked: Checked, former: str, cut_at: float) -> None:
    """Check that the former owner replied to nothing that was asked after another one had replied."""
    history, nodes = checked.history, checked.workload.nodes
    since = min(
        request.ended
        for request in history.requests
        if nodes[request.client] != former and request.begun > cut_at and request.is_ok
    )
    asked = [
        request for request in history.requests if nodes[request.client] == former and request.begun > since
    ]
    # A refusal is no promise.
    assert not [request for request in asked if request.is_ok]
    listings = [one for one in history.listings if nodes[one.client] == former and one.begun > since]
    assert not [listing for listing in listings if not listing.code]


def test_owner_cut_off_from_the_leader_of_the_log(survived: Checked) -> None:
    """The third node reaches both."""


def test_owner_that_hears_nothing(survived: Checked) -> None:
    """What it sends arrives."""


def test_owner_that_nodes_do_not_hear(survived: Checked) -> None:
    """Clients do, and it hears all."""


def test_standby_cut_off(survived: Checked) -> None:
    """From everything."""


def test_leader_of_the_log_cut_off(survived: Checked) -> None:
    """From the other nodes."""


def test_flapping_links(survived: Checked) -> None:
    """Those of the owner, for shorter and longer than a lease."""


def test_slow_and_lossy_links(survived: Checked) -> None:
    """All of them."""
