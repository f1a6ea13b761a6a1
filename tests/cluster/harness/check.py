"""One fault of a running cluster, and what clients saw of it."""

import asyncio
import random

from tests.cluster.harness.scene import Inject, Scene
from tests.cluster.harness.workload import ClusterWorkload
from tests.fault.harness.run import fault_in_work, work_during
from tests.fault.history.checker import find_violations
from tests.fault.history.history import History
from tests.fault.history.records import Violation
from tests.support.local_cluster import CLIENTS, LocalCluster

TEST_SECONDS = 400


class Checked:
    """A fault of `cluster` in the middle of random work on the mailboxes `{prefix}.*`.

    `history`: what clients did and saw. `workload.nodes`: the address to which each client was connected.
    """

    def __init__(
        self, cluster: LocalCluster, prefix: str, workload: type[ClusterWorkload] = ClusterWorkload
    ) -> None:
        self.cluster = cluster
        self.history = History()
        self.workload = workload(self.history, lambda: cluster.urls, prefix, prefix)
        self._chance = random.Random(prefix)

    def run(self, *faults: Inject, look: bool = True) -> list[Violation]:
        """Let the faults happen one after the other. Returns what broke the contract.

        `look`: after each of them, see what is stored. The cluster has to serve again for that.
        """
        with self.cluster.inside(CLIENTS):
            asyncio.run(asyncio.wait_for(self._run(faults, look), TEST_SECONDS))
        return find_violations(self.history)

    async def _run(self, faults: tuple[Inject, ...], look: bool) -> None:
        await self.workload.create()
        for fault in faults:
            scene = Scene(self.cluster, self.history, self.workload, self._chance, asyncio.Event())
            await (fault_in_work if look else work_during)(scene, fault)


def survives(cluster: LocalCluster, prefix: str, *faults: Inject) -> Checked:
    """Check that the faults break nothing that clients were promised."""
    checked = Checked(cluster, prefix)
    violations = checked.run(*faults)
    assert not violations, "\n".join(map(str, violations[:5]))
    return checked
