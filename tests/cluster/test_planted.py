"""Faults that are planted in the code of the nodes: the random work and the checker find each of them."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.fresh_reads import check_reads_after_kill
from tests.cluster.harness.check import Checked
from tests.cluster.harness.cuts import leave_owner_to_readers
from tests.cluster.harness.scene import Inject
from tests.cluster.harness.together import Together
from tests.cluster.harness.workload import ClusterWorkload, QuietWorkload
from tests.support.local_cluster import CLIENTS, NAMES, LocalCluster, needs_nodes
from tests.support.network import Network, NetworkError
from tests.support.waiting import wait_until

PLANTED = Path(__file__).parents[1] / "support/planted"
pytestmark = needs_nodes


def rules_broken(
    cluster: LocalCluster, workload: type[ClusterWorkload], *faults: Inject, look: bool = True
) -> set[str]:
    """The rules that a cluster breaks. `look`: see `Checked.run`."""
    checked = Checked(cluster, "planted", workload)
    try:
        return {violation.rule for violation in checked.run(*faults, look=look)}
    finally:
        cluster.kill_all()


def lose_what_was_acknowledged(directory: Path, fault: str) -> None:
    """Expect a new owner that lacks what was acknowledged. The fault acts on what is sent before a kill."""
    hold = directory / "hold"
    cluster = LocalCluster(directory, PYTHONPATH=str(PLANTED / fault), PLANTED_HOLD=str(hold))
    try:
        with pytest.raises(AssertionError, match="lost"):
            asyncio.run(check_reads_after_kill(cluster, "planted", hold.touch))
    finally:
        cluster.kill_all()


def read_without_a_lease(directory: Path) -> None:
    try:
        network = Network([*NAMES, CLIENTS])
    except (NetworkError, OSError) as error:
        pytest.skip(f"no network can be cut here: {error}")
    try:
        cluster = LocalCluster(directory, network=network, PYTHONPATH=str(PLANTED / "reads_without_lease"))
        assert "lost" in rules_broken(cluster, QuietWorkload, leave_owner_to_readers, look=False)
    finally:
        network.close()


def omit_the_fence(directory: Path) -> None:
    """The standbys refuse records of an owner that did not fence the log."""
    cluster = LocalCluster(directory, PYTHONPATH=str(PLANTED / "no_fence"), whole=False)

    def fault_is_told() -> bool:
        return any(each["faults"] for name in NAMES for each in cluster.states(name))

    try:
        wait_until(fault_is_told)
    finally:
        cluster.kill_all()


FAULTS: dict[str, Callable[[Path], None]] = {
    "test_no_fence": omit_the_fence,
    "test_reads_without_a_lease": read_without_a_lease,
    "test_no_fence_anywhere": functools.partial(lose_what_was_acknowledged, fault="no_fence_anywhere"),
    "test_reply_before_append": functools.partial(lose_what_was_acknowledged, fault="reply_before_append"),
}


@pytest.fixture(scope="module")
def together(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Together[None]]:
    directories = {test: tmp_path_factory.mktemp(test) for test in FAULTS}
    jobs = {test: functools.partial(find, directories[test]) for test, find in FAULTS.items()}
    with Together(request, jobs) as together:
        yield together


@pytest.fixture
def found(request: pytest.FixtureRequest, together: Together[None]) -> None:
    """The fault of this test is found."""
    together.result(request.node.name)


def test_no_fence(found: None) -> None:
    """Standbys refuse the records of its owner."""


def test_reads_without_a_lease(found: None) -> None:
    """Readers do not see what another owner has acknowledged."""


def test_no_fence_anywhere(found: None) -> None:
    """Standbys do not notice either: a new owner lacks what was acknowledged."""


def test_reply_before_append(found: None) -> None:
    """A new owner lacks what was acknowledged."""
