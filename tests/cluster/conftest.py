"""A cluster that several modules share. Their tests leave it whole."""

from collections.abc import Iterator

import pytest

from tests.support.local_cluster import LocalCluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()
