"""A cluster for tests that do it no lasting harm, and the results of faults in other clusters."""

from collections.abc import Iterator

import pytest

from tests.cluster.harness.check import Checked
from tests.cluster.harness.together import Together
from tests.support.local_cluster import LocalCluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()


@pytest.fixture
def survived(request: pytest.FixtureRequest, together: Together[Checked]) -> Checked:
    """What clients did and saw during the faults of a test of a module that has `together`. These faults have
    broken nothing that clients were promised."""
    return together.result(request.node.name)
