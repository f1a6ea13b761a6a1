"""The random workload against a cluster: clients look for the owner again and again."""

import asyncio
import contextlib
import random
import time
from typing import Any

from tests.fault.harness.actors import Actor, Make
from tests.fault.harness.workload import ACTORS, Workload
from tests.fault.history.client import RecordingClient
from tests.fault.history.records import Listing, Request
from tests.support.waiting import START_SECONDS, WAIT_SECONDS

# As long as most failovers take.
PATIENCE_SECONDS = 3.0
CONNECT_SECONDS = 1.0
PING_SECONDS = 1.0
LOOK_SECONDS = 0.1
LISTS_FIRST_SECONDS = 0.5
SHARED = "shared"


class Keeper(Actor):
    """Keeps a few messages in a mailbox that others list all the time."""

    async def run(self) -> None:
        sent: list[Request] = []
        # With a new owner, those that list come first: for an append they would have to wait.
        await self.wait(LISTS_FIRST_SECONDS)
        while self.works:
            request = await self.client.msg(self.address(SHARED), size=20)
            if request.is_ok:
                sent.append(request)
            if len(sent) > 3:
                oldest = sent.pop(0)
                await self.client.delete(oldest.address, oldest.reply["msg_id"])
            await self.wait(self.chance.uniform(0, 0.1))


class Watcher(Actor):
    """Lists that mailbox, and stays with its node for as long as its connection lasts."""

    async def run(self) -> None:
        while self.works:
            await self.client.list(self.address(SHARED))
            await self.wait(0.02)


class Prober(Actor):
    """Sends one message at a time, and stays with its node."""

    async def run(self) -> None:
        while self.works:
            await self.client.msg(self.address(SHARED + ".probed"))
            await self.wait(0.05)


CLUSTER_ACTORS: dict[str, Make] = {
    **ACTORS,
    "keeper": Keeper,
    "keeper2": Keeper,
    "watcher": Watcher,
    "watcher2": Watcher,
    "prober": Prober,
}
# With these, a broker writes nothing of its own accord.
QUIET_ACTORS: dict[str, Make] = {"keeper": Keeper, **{f"watcher{number}": Watcher for number in range(4)}}
# These stay with their node. The others connect again, perhaps to another one, if requests have no reply.
STAY = (Watcher, Prober)


class ClusterWorkload(Workload):
    """Each client connects to any node that listens. `urls()`: of all nodes.

    `nodes`: the address to which each client was connected, by its name. `clients`: all of them.
    `watchers`: those that only read.
    """

    actors = CLUSTER_ACTORS

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.nodes: dict[str, str] = {}
        self.clients: list[RecordingClient] = []
        self.watchers: list[RecordingClient] = []

    async def connect(self, name: str) -> RecordingClient:
        """Connect to the owner. Waits for one."""
        return await self._connect(name, WAIT_SECONDS, random.Random(name), asyncio.Event())

    async def _connect(
        self, name: str, patience: float, chance: random.Random, stop: asyncio.Event
    ) -> RecordingClient:
        deadline = time.monotonic() + START_SECONDS
        while True:
            urls = list(self._urls())
            chance.shuffle(urls)
            for url in urls:
                client = RecordingClient(
                    self.history, name, patience=CONNECT_SECONDS, ping_seconds=PING_SECONDS
                )
                with contextlib.suppress(OSError):
                    await client.connect([url])
                    client.patience = patience
                    self.nodes[client.name] = url
                    self.clients.append(client)
                    return client
            if stop.is_set() or time.monotonic() > deadline:
                raise OSError("no node accepts connections")
            await asyncio.sleep(0.05)

    async def create(self) -> None:
        await super().create()
        async with await self.connect("creator") as client:
            for box in (SHARED, SHARED + ".probed"):
                await client.create(f"{self.prefix}.{box}")

    async def work(self, stop: asyncio.Event) -> None:
        """One phase: until `stop` is set."""
        self._phase += 1
        await asyncio.gather(*(self._act(name, make, stop) for name, make in self.actors.items()))

    async def _act(self, name: str, make: Make, stop: asyncio.Event) -> None:
        chance = random.Random(f"{self._seed} {self._phase} {name}")
        while not stop.is_set():
            try:
                client = await self._connect(name, PATIENCE_SECONDS, chance, stop)
            except OSError:
                return
            actor: Actor = make(client, self.prefix, chance, stop)
            leaving = None if isinstance(actor, STAY) else asyncio.create_task(_leave(client, chance))
            if isinstance(actor, Watcher):
                self.watchers.append(client)
            try:
                await actor.run()
            except Exception:
                if client.is_connected:
                    raise
            finally:
                if leaving is not None:
                    leaving.cancel()
                await client.close()

    async def list_all(self, *, is_final: bool = False) -> dict[str, Listing]:
        """List every mailbox. All of it is done again if the owner changes meanwhile."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return await super().list_all(is_final=is_final)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise


class QuietWorkload(ClusterWorkload):
    """One client sends, and some read."""

    actors = QUIET_ACTORS


async def _leave(client: RecordingClient, chance: random.Random) -> None:
    """End a connection some time after requests on it begin to have no reply in time."""
    unanswered = 0
    while unanswered == client.unanswered or chance.random() < 0.5:
        unanswered = client.unanswered
        await asyncio.sleep(LOOK_SECONDS)
    await client.close()
