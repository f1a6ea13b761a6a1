"""Faults that are planted in the code of the nodes: the checks of the failover tests find each of them."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.support.counted_sends import CountedSends
from tests.support.local_cluster import BROKER, NAMES, LocalCluster
from tests.support.nats_server import NATS_SERVER
from tests.support.waiting import wait_until

PLANTED = Path(__file__).parents[1] / "support/planted"
pytestmark = [
    pytest.mark.skipif(
        NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
    ),
    # nats-py leaves the socket of a connection that it has lost to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_reply_before_the_append(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, PYTHONPATH=str(PLANTED / "reply_before_append"))

    async def test() -> None:
        sends = CountedSends(cluster, "planted", senders=50)
        # The loss of the mailbox shows at the next send, other losses in the check.
        with pytest.raises(AssertionError, match=r"(is|are) lost|given twice|is lower"):
            async with sends.running():
                for _ in range(3):
                    await sends.more(200)
                    owner = await asyncio.to_thread(cluster.owner)
                    cluster.signal(owner, BROKER, signal.SIGKILL)
                    await sends.more(200)
                    await asyncio.to_thread(cluster.wait_until_whole)
            await sends.check()

    try:
        asyncio.run(asyncio.wait_for(test(), 300))
    finally:
        cluster.kill_all()


def test_no_fence(tmp_path: Path) -> None:
    """The standbys refuse records of an owner that did not fence the log."""
    cluster = LocalCluster(tmp_path, PYTHONPATH=str(PLANTED / "no_fence"), whole=False)

    def fault_is_told() -> bool:
        return any(
            each["faults"] for name in NAMES for each in (cluster.status(name) or {"nodes": ()})["nodes"]
        )

    try:
        wait_until(fault_is_told)
    finally:
        cluster.kill_all()
