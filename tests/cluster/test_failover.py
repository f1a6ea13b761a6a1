"""Three nodes on this machine, and what kills and stops of each of their processes do to clients."""

from collections.abc import Iterator, Sequence

import pytest

from tests.cluster.harness.check import Checked
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
from tests.cluster.harness.scene import Inject
from tests.cluster.harness.together import Together, faults_together
from tests.support.local_cluster import LocalCluster, needs_nodes

pytestmark = needs_nodes
# Those that take long come first.
FAULTS: dict[str, Sequence[Inject]] = {
    "test_everything_killed": [kill_everything],
    "test_killed_and_stopped_leader_of_the_log": [kill_log_leader, stop_log_leader],
    "test_stopped_owner_that_goes_on": [stop_owner],
    "test_majority_of_the_log_stopped": [stop_majority_of_log],
    "test_killed_owner": [kill_owner, kill_owner],
    "test_standby_without_a_store_gets_one": [forget_standby],
    "test_lost_machine_of_the_owner": [lose_owner],
    "test_handover": [hand_over],
    "test_killed_standby": [kill_standby],
    "test_stopped_standby": [stop_standby],
}


@pytest.fixture(scope="module")
def together(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Together[Checked]]:
    def start(number: int) -> LocalCluster:
        return LocalCluster(tmp_path_factory.mktemp(f"cluster{number}"))

    with faults_together(request, start, FAULTS) as together:
        yield together


def test_killed_owner(survived: Checked) -> None:
    """Twice: a standby serves each time."""


def test_handover(survived: Checked) -> None:
    codes = {request.reply["code"] for request in survived.history.requests if request.is_refused}
    assert "store_unavailable" not in codes


def test_stopped_owner_that_goes_on(survived: Checked) -> None:
    """The log refuses what it does then."""


def test_killed_standby(survived: Checked) -> None:
    """The owner stays."""


def test_stopped_standby(survived: Checked) -> None:
    """It follows when it goes on."""


def test_killed_and_stopped_leader_of_the_log(survived: Checked) -> None:
    """Clients wait for another one."""


def test_majority_of_the_log_stopped(survived: Checked) -> None:
    """Nothing was acknowledged meanwhile."""


def test_lost_machine_of_the_owner(survived: Checked) -> None:
    """Its lease runs out."""


def test_everything_killed(survived: Checked) -> None:
    """All of it starts again."""


def test_standby_without_a_store_gets_one(survived: Checked) -> None:
    """The copy may have to serve: the owner is killed then."""
