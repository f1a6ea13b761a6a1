"""What can happen to the processes and machines of a cluster.

A fault is a function of a `Scene`. It returns when the cluster is whole again.
"""

import asyncio
import os
import signal

from tests.cluster.harness.scene import Inject, Scene, others
from tests.fault.history.records import now
from tests.support.local_cluster import BROKER, CLIENTS, LOG_SERVER, NAMES


async def kill_owner(scene: Scene) -> None:
    await scene.work()
    async with scene.owner_may_change():
        owner = await scene.owner()
        await scene.signal(owner, BROKER, signal.SIGKILL)
        await scene.wait_for_role("owner", *others(owner))


async def hand_over(scene: Scene) -> None:
    await scene.work()
    async with scene.owner_may_change():
        owner = await scene.owner()
        await scene.signal(owner, BROKER, signal.SIGTERM)
        await scene.wait_for_role("owner", *others(owner))


async def stop_owner(scene: Scene) -> None:
    """The lease runs out. What the old owner does when it goes on is refused by the log."""
    await scene.work()
    async with scene.owner_may_change():
        owner = await scene.owner()
        pid = await scene.signal(owner, BROKER, signal.SIGSTOP)
        try:
            await scene.wait_for_role("owner", *others(owner))
            await scene.acknowledged()
        finally:
            os.kill(pid, signal.SIGCONT)
        await scene.wait_for_role("standby", owner)


async def lose_owner(scene: Scene) -> None:
    """Its machine ends: nobody releases the lease, and nobody resets connections."""
    await scene.work()
    async with scene.owner_may_change():
        owner = await scene.owner()
        if scene.cluster.network is not None:
            scene.network.cut_both(owner, [*others(owner), CLIENTS])
        await scene.blocking(scene.cluster.kill, owner)
        await scene.wait_for_role("owner", *others(owner))
        if scene.cluster.network is not None:
            scene.network.heal()
        scene.cluster.start(owner)


async def kill_standby(scene: Scene) -> None:
    await scene.work()
    owner, standby = await scene.owner(), await scene.standby()
    with scene.history.fault("standby"):
        await scene.signal(standby, BROKER, signal.SIGKILL)
        await scene.acknowledged()
        await scene.blocking(scene.cluster.wait_until_whole)
    assert await scene.owner() == owner


async def stop_standby(scene: Scene) -> None:
    await scene.work()
    standby = await scene.standby()
    with scene.history.fault("standby"):
        pid = await scene.signal(standby, BROKER, signal.SIGSTOP)
        try:
            await scene.work(4)
            await scene.acknowledged()
        finally:
            os.kill(pid, signal.SIGCONT)
        await scene.blocking(scene.cluster.wait_until_whole)


async def forget_standby(scene: Scene) -> None:
    """A standby loses its store; then the owner is killed, so that what it copied may have to serve."""
    await scene.work()
    async with scene.owner_may_change():
        standby = await scene.standby()
        await scene.blocking(scene.cluster.kill, standby)
        scene.cluster.forget_data(standby)
        scene.cluster.start(standby)
        await scene.blocking(scene.cluster.wait_until_whole)
        owner = await scene.owner()
        await scene.signal(owner, BROKER, signal.SIGKILL)
        await scene.wait_for_role("owner", *others(owner))


async def kill_log_leader(scene: Scene) -> None:
    await scene.work()
    async with scene.owner_may_change():
        await scene.signal(await scene.log_leader(), LOG_SERVER, signal.SIGKILL)
        await scene.acknowledged()


async def stop_log_leader(scene: Scene) -> None:
    await scene.work()
    async with scene.owner_may_change():
        leader = await scene.log_leader()
        pid = await scene.signal(leader, LOG_SERVER, signal.SIGSTOP)
        try:
            await scene.log_leader(*others(leader))
            await scene.acknowledged()
        finally:
            os.kill(pid, signal.SIGCONT)


async def stop_majority_of_log(scene: Scene) -> None:
    """Nothing is acknowledged meanwhile. What was sent is stored, or its sender knows no outcome."""
    await scene.work()
    async with scene.owner_may_change():
        running = await scene.standby()
        pids = [await scene.signal(name, LOG_SERVER, signal.SIGSTOP) for name in others(running)]
        begun = now()
        try:
            await asyncio.sleep(scene.chance.uniform(1, 5))
        finally:
            ended = now()
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
    acknowledged = (one for one in scene.history.requests if one.verb == "msg" and one.is_ok)
    assert not any(begun < one.begun and one.ended < ended for one in acknowledged)


async def kill_everything(scene: Scene) -> None:
    await scene.work()
    async with scene.owner_may_change():
        for name in NAMES:
            await scene.blocking(scene.cluster.kill, name)
        for name in NAMES:
            scene.cluster.start(name)


FAILURES: dict[str, Inject] = {
    "kill owner": kill_owner,
    "stop owner": stop_owner,
    "hand over": hand_over,
    "lose machine of owner": lose_owner,
    "kill standby": kill_standby,
    "stop standby": stop_standby,
    "standby without store": forget_standby,
    "kill leader of log": kill_log_leader,
    "stop leader of log": stop_log_leader,
    "stop majority of log": stop_majority_of_log,
    "kill everything": kill_everything,
}
