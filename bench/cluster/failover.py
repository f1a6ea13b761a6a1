"""How long sends get no reply after the owner's broker is killed, and after its machine is lost."""

import asyncio
import signal
import statistics
from collections.abc import Callable
from pathlib import Path

from bench.peers.report import table_head, table_line
from tests.support.counted_sends import CountedSends
from tests.support.local_cluster import BROKER, LocalCluster

ROUNDS = 10
# A sender that waits for a reply that does not come sends again after so long, at the next owner.
PATIENCE_SECONDS = 0.2


def kill_broker(cluster: LocalCluster, owner: str) -> None:
    cluster.signal(owner, BROKER, signal.SIGKILL)


def lose_machine(cluster: LocalCluster, owner: str) -> None:
    """Kill all processes of the owner's node at once, its supervisor too, so that nobody tells of it."""
    cluster.kill(owner)


# What happens, and how many seconds later sends must work again.
FAULTS: list[tuple[str, Callable[[LocalCluster, str], None], float]] = [
    ("the owner's broker is killed", kill_broker, 1.5),
    ("the owner's machine is lost, and the log's leader is another one", lose_machine, 4.0),
]


def measure_failover(place: Path, scale: float) -> list[str]:
    """Lines with the results."""
    place.mkdir(parents=True)
    cluster = LocalCluster(place)
    lines = ["", *table_head(["event", "times", "median", "slowest", "target"])]
    try:
        for event, fault, target in FAULTS:
            pauses = asyncio.run(_pauses(cluster, fault, max(1, round(ROUNDS * scale))))
            seconds = [f"{each:.2f} s" for each in (statistics.median(pauses), max(pauses), target)]
            lines.append(table_line([event, str(len(pauses)), *seconds]))
    finally:
        cluster.end()
    return lines


async def _pauses(
    cluster: LocalCluster, fault: Callable[[LocalCluster, str], None], rounds: int
) -> list[float]:
    """For how long no send got a reply, in seconds, for each of the faults."""
    sends = CountedSends(cluster, fault.__name__.replace("_", "."), patience=PATIENCE_SECONDS)
    pauses = []
    async with sends.running():
        for _ in range(rounds):
            owner = await asyncio.to_thread(_owner_that_does_not_lead_the_log, cluster)
            await sends.more()
            sends.longest_gap = 0.0
            await asyncio.to_thread(fault, cluster, owner)
            await sends.more()
            pauses.append(sends.longest_gap)
            await asyncio.to_thread(_bring_back, cluster, owner)
    await sends.check()
    return pauses


def _owner_that_does_not_lead_the_log(cluster: LocalCluster) -> str:
    """The owner, after the nodes have handed over to one whose nats-server does not lead the log."""
    while (owner := cluster.owner()) == cluster.log_leader():
        cluster.stop(owner)
        cluster.start(owner)
        cluster.wait_until_whole()
    return owner


def _bring_back(cluster: LocalCluster, name: str) -> None:
    if cluster.processes[name].poll() is not None:
        cluster.start(name)
    cluster.wait_until_whole()
