"""Clusters as the fault harness starts and ends them."""

import contextlib
import random
import shutil
from pathlib import Path

from tests.cluster.harness.cuts import CUTS
from tests.cluster.harness.failures import FAILURES
from tests.cluster.harness.scene import Scene
from tests.cluster.harness.workload import ClusterWorkload
from tests.fault.harness.run import Kind
from tests.support.local_cluster import CLIENTS, NAMES, LocalCluster
from tests.support.network import Network, NetworkError


def why_no_network() -> str:
    """Why no network can be cut here, "" if one can."""
    try:
        Network([CLIENTS]).close()
    except (NetworkError, OSError) as error:
        return str(error)
    return ""


class ClusterSystem:
    """Three nodes that serve. `cluster.network` is None where the machine allows none."""

    def __init__(self, directory: Path, **env: str) -> None:
        self._directory = directory
        self._network = None if why_no_network() else Network([*NAMES, CLIENTS])
        try:
            self.cluster = LocalCluster(directory, network=self._network, **env)
        except BaseException:
            self._close_network()
            raise

    @property
    def urls(self) -> list[str]:
        return self.cluster.urls

    def for_clients(self) -> contextlib.AbstractContextManager[None]:
        return self.cluster.inside(CLIENTS)

    def end(self) -> None:
        self.cluster.end()

    def kill(self) -> None:
        """End it in any state."""
        try:
            self.cluster.kill_all()
        finally:
            self._close_network()

    def _close_network(self) -> None:
        if self._network is not None:
            self._network.close()

    def keep(self, to: Path) -> None:
        """Copy the logs and the stores of all nodes."""
        shutil.copytree(self._directory, to, dirs_exist_ok=True)


def _start(directory: Path, _chance: random.Random) -> ClusterSystem:
    return ClusterSystem(directory)


# Where there is no network, nothing can be cut.
CLUSTER = Kind(
    "cluster-fault",
    _start,
    lambda system, *rest: Scene(system.cluster, *rest),
    FAILURES if why_no_network() else {**FAILURES, **CUTS},
    ClusterWorkload,
)
