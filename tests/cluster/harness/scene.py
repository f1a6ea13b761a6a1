"""What a fault of a cluster acts on."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.cluster.harness.workload import ClusterWorkload
from tests.fault.history.history import History
from tests.fault.history.records import now
from tests.support.local_cluster import NAMES, LocalCluster
from tests.support.network import Network
from tests.support.waiting import START_SECONDS, wait_until, wait_until_async


@dataclass
class Scene:
    """`stop`: set it to end the work of the clients."""

    cluster: LocalCluster
    history: History
    workload: ClusterWorkload
    chance: random.Random
    stop: asyncio.Event

    @property
    def network(self) -> Network:
        assert self.cluster.network is not None
        return self.cluster.network

    async def work(self, seconds: float = 0.5) -> None:
        """Let the clients work for a random time."""
        await asyncio.sleep(self.chance.uniform(0.02, seconds))

    async def blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the cluster, which waits, while the clients work."""
        return await asyncio.to_thread(function, *arguments)

    async def owner(self) -> str:
        return str(await self.blocking(self.cluster.owner))

    async def standby(self) -> str:
        """One of the standbys."""
        owner = await self.owner()
        return self.chance.choice(others(owner))

    async def log_leader(self, *asked: str) -> str:
        return str(await self.blocking(self.cluster.log_leader, asked or NAMES))

    async def wait_for_role(self, role: str, *names: str) -> None:
        """Wait until one of the nodes says that it has this role."""
        await self.blocking(wait_until, lambda: role in self.cluster.roles(names).values(), START_SECONDS)

    async def signal(self, name: str, program: str, number: int) -> int:
        return int(await self.blocking(self.cluster.signal, name, program, number))

    async def acknowledged(self) -> float:
        """Wait until a send that begins from now on is acknowledged; returns when its reply came."""
        begun, first = now(), len(self.history.requests)
        found: list[float] = []

        async def some() -> bool:
            for request in self.history.requests[first:]:
                if request.verb == "msg" and request.is_ok and request.begun > begun:
                    found.append(request.ended)
            return bool(found)

        await wait_until_async(some, START_SECONDS)
        return min(found)

    async def clients_leave(self, name: str) -> None:
        """Wait until no client is connected to this node."""
        url = self.cluster.url(name)

        async def have_left() -> bool:
            clients = self.workload.clients
            return not any(
                client.is_connected and self.workload.nodes[client.name] == url for client in clients
            )

        await wait_until_async(have_left)

    @contextlib.asynccontextmanager
    async def owner_may_change(self, note: str = "") -> AsyncIterator[None]:
        """A fault, until one node is the owner again, the others are standbys, and clients get replies."""
        with self.history.fault("owner_change", note):
            yield
            await self.blocking(self.cluster.wait_until_whole)
            await self.acknowledged()


# A fault. It returns when the cluster is whole again.
Inject = Callable[[Scene], Awaitable[Any]]


def others(*names: str) -> list[str]:
    return [name for name in NAMES if name not in names]
