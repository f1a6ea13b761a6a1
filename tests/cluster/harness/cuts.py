"""Cut, slow and lossy links between the nodes of a cluster and clients."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from tests.cluster.harness.scene import Inject, Scene, others
from tests.support.local_cluster import BROKER, CLIENTS

# An append that is under way has an answer within this time.
APPEND_SECONDS = 0.5


@contextlib.asynccontextmanager
async def cut(scene: Scene, note: str = "") -> AsyncIterator[None]:
    """The links that are cut inside work again at the end of the block."""
    async with scene.owner_may_change(note):
        try:
            yield
        finally:
            scene.network.heal()


async def _another_serves(scene: Scene, owner: str) -> None:
    """Wait until another node than the owner serves, and go on for a while."""
    await scene.wait_for_role("owner", *others(owner))
    await scene.acknowledged()
    await scene.work(2)


async def cut_owner_off(scene: Scene) -> None:
    """From everything."""
    await scene.work()
    owner = await scene.owner()
    async with cut(scene):
        scene.network.cut_both(owner, [*others(owner), CLIENTS])
        await _another_serves(scene, owner)
    assert await scene.owner() != owner


async def cut_owner_from_nodes(scene: Scene) -> None:
    """Clients still reach it. It must tell them nothing once its lease has run out, and send them away."""
    await scene.work()
    owner = await scene.owner()
    async with cut(scene, owner):
        scene.network.cut_both(owner, others(owner))
        await scene.clients_leave(owner)
        await _another_serves(scene, owner)
    assert await scene.owner() != owner


async def leave_owner_to_readers(scene: Scene) -> None:
    """Only clients that read still reach it. It has no append under way for which they would have to wait."""
    await scene.work()
    owner = await scene.owner()
    readers = [client.port for client in scene.workload.watchers if client.is_connected]
    async with cut(scene):
        scene.network.cut_both(owner, [CLIENTS], but=readers)
        await asyncio.sleep(APPEND_SECONDS)
        scene.network.cut_both(owner, others(owner))
        await _another_serves(scene, owner)
    assert await scene.owner() != owner


async def cut_owner_from_log_leader(scene: Scene) -> None:
    """The third node reaches both."""
    while (owner := await scene.owner()) == (leader := await scene.log_leader()):
        async with scene.owner_may_change("so that it does not lead the log"):
            await scene.signal(owner, BROKER, signal.SIGTERM)
            await scene.wait_for_role("owner", *others(owner))
    await scene.work()
    async with cut(scene):
        scene.network.cut_both(owner, [leader])
        await scene.work(5)
        await scene.acknowledged()


async def deafen_owner(scene: Scene) -> None:
    """Nothing reaches it, and what it sends arrives."""
    await scene.work()
    owner = await scene.owner()
    async with cut(scene):
        for sender in (*others(owner), CLIENTS):
            scene.network.cut(sender, owner)
        await _another_serves(scene, owner)
    assert await scene.owner() != owner


async def mute_owner(scene: Scene) -> None:
    """Nothing that it sends to nodes arrives. It hears them, and clients still reach it."""
    await scene.work()
    owner = await scene.owner()
    async with cut(scene):
        for receiver in others(owner):
            scene.network.cut(owner, receiver)
        await _another_serves(scene, owner)
    assert await scene.owner() != owner


async def cut_standby_off(scene: Scene) -> None:
    await scene.work()
    standby = await scene.standby()
    async with cut(scene):
        scene.network.cut_both(standby, [*others(standby), CLIENTS])
        await scene.work(4)
        await scene.acknowledged()


async def cut_log_leader_off(scene: Scene) -> None:
    """From the other nodes."""
    await scene.work()
    leader = await scene.log_leader()
    async with cut(scene):
        scene.network.cut_both(leader, others(leader))
        await scene.log_leader(*others(leader))
        await scene.acknowledged()


async def flap_links_of_owner(scene: Scene) -> None:
    """Cut and healed again and again, for shorter and longer than a lease."""
    await scene.work()
    owner = await scene.owner()
    async with cut(scene):
        for _ in range(scene.chance.randint(2, 4)):
            scene.network.cut_both(owner, others(owner))
            await scene.work(3)
            scene.network.heal()
            await scene.work(1)


async def slow_and_lossy_links(scene: Scene) -> None:
    """All links lose packets, and the nodes send slowly, so that queues build up."""
    await scene.work()
    async with cut(scene, "slow and lossy"):
        for name in (*others(), CLIENTS):
            scene.network.lose(name, scene.chance.uniform(0.01, 0.15))
        for name in others():
            scene.network.slow_down(name, scene.chance.randint(2, 20) * 1_000_000, 0.3)
        await scene.work(6)
        await scene.acknowledged()


CUTS: dict[str, Inject] = {
    "cut owner off": cut_owner_off,
    "cut owner from nodes": cut_owner_from_nodes,
    "leave owner to readers": leave_owner_to_readers,
    "cut owner from leader of log": cut_owner_from_log_leader,
    "deafen owner": deafen_owner,
    "mute owner": mute_owner,
    "cut standby off": cut_standby_off,
    "cut leader of log off": cut_log_leader_off,
    "flap links of owner": flap_links_of_owner,
    "slow and lossy links": slow_and_lossy_links,
}
