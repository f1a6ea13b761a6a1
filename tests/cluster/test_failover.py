"""Three nodes on this machine, and what kills and stops of each of their processes do to clients."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.counted_sends import CountedSends
from tests.support.local_cluster import BROKER, LOG_SERVER, NAMES, LocalCluster
from tests.support.nats_server import NATS_SERVER
from tests.support.waiting import START_SECONDS, wait_until

pytestmark = [
    pytest.mark.skipif(
        NATS_SERVER is None or not Path("/proc/self/task").exists(), reason="needs nats-server and /proc"
    ),
    # nats-py leaves the socket of a connection that it has lost to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# Longer than a lease.
STOPPED_SECONDS = 3.0
Fault = Callable[[LocalCluster], None]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()


def sends_survive(cluster: LocalCluster, address: str, *faults: Fault) -> CountedSends:
    """Send all the time while the faults happen, one after the other; check what is stored afterwards."""
    sends = CountedSends(cluster, address)

    async def test() -> None:
        async with sends.running():
            for fault in faults:
                await sends.more()
                await asyncio.to_thread(fault, cluster)
                await sends.more()
        await asyncio.to_thread(cluster.wait_until_whole)
        await sends.check()

    run(test)
    return sends


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 300))


def another_owner(cluster: LocalCluster, former: str) -> None:
    wait_until(lambda: cluster.owner() != former)


def status_of(cluster: LocalCluster) -> list[dict[str, Any]]:
    urls = [f"http://127.0.0.1:{cluster.peers[name].monitor_port}" for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-m", "mq9fast", "cluster", "status", "--json", "--monitor", ",".join(urls)],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_status_shows_each_node(cluster: LocalCluster) -> None:
    # The nodes tell each other their states twice a second.
    wait_until(lambda: [row["node"] for row in status_of(cluster)] == list(NAMES))
    wait_until(lambda: sum(row["role"] == "owner" for row in status_of(cluster)) == 1)
    assert all(row["behind"] >= 0 and row["faults"] == "" for row in status_of(cluster))


def test_killed_owner(cluster: LocalCluster) -> None:
    def kill(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        cluster.signal(owner, BROKER, signal.SIGKILL)
        another_owner(cluster, owner)

    sends_survive(cluster, "killed.owner", kill, kill, kill)


def test_handover(cluster: LocalCluster) -> None:
    def stop(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        cluster.signal(owner, BROKER, signal.SIGTERM)
        another_owner(cluster, owner)

    sends = sends_survive(cluster, "handover", stop)
    assert sends.refusals == []


def test_stopped_owner_that_goes_on(cluster: LocalCluster) -> None:
    """The lease runs out. What the old owner does when it goes on is refused by the log."""

    def stop(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        pid = cluster.signal(owner, BROKER, signal.SIGSTOP)
        try:
            wait_until(lambda: "owner" in {cluster.roles().get(name) for name in NAMES if name != owner})
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: cluster.roles().get(owner) == "standby")

    sends_survive(cluster, "stopped.owner", stop)


def test_killed_standby(cluster: LocalCluster) -> None:
    def kill(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        standby = next(name for name in NAMES if name != owner)
        cluster.signal(standby, BROKER, signal.SIGKILL)
        cluster.wait_until_whole()
        assert cluster.owner() == owner

    sends_survive(cluster, "killed.standby", kill)


def test_killed_and_stopped_leader_of_the_log(cluster: LocalCluster) -> None:
    def kill(cluster: LocalCluster) -> None:
        cluster.signal(cluster.log_leader(), LOG_SERVER, signal.SIGKILL)

    def stop(cluster: LocalCluster) -> None:
        leader = cluster.log_leader()
        pid = cluster.signal(leader, LOG_SERVER, signal.SIGSTOP)
        try:
            wait_until(lambda: cluster.log_leader() != leader)
        finally:
            os.kill(pid, signal.SIGCONT)

    sends_survive(cluster, "leader", kill, stop)


def test_majority_of_the_log_stopped(cluster: LocalCluster) -> None:
    """Nothing is acknowledged meanwhile. What was sent is stored, or its sender knows no outcome."""

    def stop(cluster: LocalCluster) -> None:
        leader = cluster.log_leader()
        others = [name for name in NAMES if name != leader]
        pids = [cluster.signal(name, LOG_SERVER, signal.SIGSTOP) for name in others]
        try:
            time.sleep(STOPPED_SECONDS)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    sends = sends_survive(cluster, "majority", stop)
    assert sends.longest_gap > STOPPED_SECONDS / 2


def test_lost_machine_of_the_owner(cluster: LocalCluster) -> None:
    """Nobody releases the lease."""

    def lose(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        cluster.kill(owner)
        another_owner(cluster, owner)
        cluster.start(owner)

    sends_survive(cluster, "lost.machine", lose)


def test_everything_killed(cluster: LocalCluster) -> None:
    def kill(cluster: LocalCluster) -> None:
        for name in NAMES:
            cluster.kill(name)
        for name in NAMES:
            cluster.start(name)
        cluster.owner()

    sends_survive(cluster, "everything", kill)


def test_standby_without_a_store_gets_one(cluster: LocalCluster) -> None:
    def forget(cluster: LocalCluster) -> None:
        owner = cluster.owner()
        standby = next(name for name in NAMES if name != owner)
        cluster.kill(standby)
        cluster.forget_data(standby)
        cluster.start(standby)
        cluster.wait_until_whole()
        cluster.signal(owner, BROKER, signal.SIGKILL)
        another_owner(cluster, owner)

    sends_survive(cluster, "forgotten", forget)
