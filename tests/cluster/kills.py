"""Kills the owner again and again under full load, and checks everything that clients were told.

python -m tests.cluster.kills [KILLS [PLANTED]]        make cluster-kills KILLS=100

PLANTED: a directory of tests/support/planted, whose fault is planted in the nodes. Then it must fail.
"""

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.fresh_reads import check_reads_after_kill, check_reads_after_stop
from tests.support.counted_sends import CountedSends
from tests.support.local_cluster import BROKER, LocalCluster
from tests.support.waiting import wait_until

SENDERS = 200
PLANTED = Path(__file__).parents[1] / "support/planted"
# Short, because all senders wait for a reply when the owner is killed, and the pause is measured by the next.
PATIENCE_SECONDS = 0.3
# Sends between two checks of the mailbox.
KILLS_PER_CHECK = 10


def kill_owner(cluster: LocalCluster, chance: random.Random) -> str:
    """Kill the owner at a random moment, in one of two ways; returns which."""
    owner = cluster.owner()
    time.sleep(chance.random())
    if chance.random() < 0.8:
        cluster.signal(owner, BROKER, signal.SIGKILL)
        kind = "SIGKILL"
    else:
        pid = cluster.signal(owner, BROKER, signal.SIGSTOP)
        wait_until(lambda: cluster.owner() != owner)
        os.kill(pid, signal.SIGCONT)
        kind = "SIGSTOP"
    wait_until(lambda: cluster.owner() != owner)
    return kind


async def round_of_kills(cluster: LocalCluster, number: int, kills: int, chance: random.Random) -> int:
    """Kill so many owners, then check the mailbox; returns how many messages were acknowledged."""
    sends = CountedSends(cluster, f"kills.round{number}", SENDERS, PATIENCE_SECONDS)
    async with sends.running():
        for _ in range(kills):
            await sends.more(500)
            sends.longest_gap = 0.0
            kind = await asyncio.to_thread(kill_owner, cluster, chance)
            await sends.more(500)
            print(f"  {kind}: no reply for {sends.longest_gap:.2f} s", flush=True)
            await asyncio.to_thread(cluster.wait_until_whole)
    await sends.check()
    return len(sends.stored)


async def reads(cluster: LocalCluster, number: int) -> None:
    """A kill and a stop without load, after which clients only read."""
    for check in (check_reads_after_kill, check_reads_after_stop):
        await check(cluster, f"kills.{check.__name__.lower()}{number}")
        await asyncio.to_thread(cluster.wait_until_whole)


def main(kills: int, seed: int, planted: str = "") -> None:
    """Raises AssertionError if clients were told what is not true."""
    chance = random.Random(seed)
    total = 0
    env = {"PYTHONPATH": str(PLANTED / planted)} if planted else {}
    with tempfile.TemporaryDirectory(prefix="mq9fast-kills-") as name:
        cluster = LocalCluster(Path(name), **env)
        try:
            for number, begun in enumerate(range(0, kills, KILLS_PER_CHECK)):
                asyncio.run(reads(cluster, number))
                count = min(KILLS_PER_CHECK, kills - begun)
                total += asyncio.run(round_of_kills(cluster, number, count, chance))
                print(f"{begun + count} kills, {total} acknowledged messages, none lost", flush=True)
        finally:
            cluster.kill_all() if planted else cluster.end()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(os.environ.get("SEED", "1")), *sys.argv[2:3])
