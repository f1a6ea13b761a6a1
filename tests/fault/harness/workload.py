"""The random workload: many clients with every feature, in phases between faults."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence

from tests.fault.harness.actors import Actor, Answerer, Make, Observer, Sender, Subscriber, Visitor, worker
from tests.fault.harness.boxes import GROUPS, OPTIONS, options_of
from tests.fault.history.client import RecordingClient
from tests.fault.history.history import History
from tests.fault.history.records import Listing
from tests.support.waiting import WAIT_SECONDS, wait_until_async

# Expiry, delays, time-outs and backoff of the mailboxes end within this time.
SETTLE_SECONDS = 3.2
ACTORS: dict[str, Make] = {
    "sender": Sender,
    "sender2": Sender,
    "subscriber": Subscriber,
    "answerer": Answerer,
    "answerer2": Answerer,
    "visitor": Visitor,
    "observer": Observer,
    **{f"{box}{number}": worker(box) for box in GROUPS for number in range(3)},
}


class Workload:
    """Works on the mailboxes `{prefix}.*` of the broker at `urls()`. Everything is recorded in `history`."""

    def __init__(
        self, history: History, urls: Callable[[], Sequence[str]], seed: str, prefix: str = "w"
    ) -> None:
        self.history = history
        self.prefix = prefix
        self._urls = urls
        self._seed = seed
        self._phase = 0

    async def connect(self, name: str) -> RecordingClient:
        return await RecordingClient(self.history, name).connect(self._urls())

    def address(self, box: str) -> str:
        """The address of one of its mailboxes."""
        return f"{self.prefix}.{box}"

    async def create(self) -> None:
        """Create the mailboxes, or renew them: the outcome of an earlier CREATE may be unknown."""
        async with await self.connect("creator") as client:
            for box in OPTIONS:
                await client.create(f"{self.prefix}.{box}", **options_of(box, self.prefix))

    async def work(self, stop: asyncio.Event) -> None:
        """One phase: until `stop` is set, or all connections have ended."""
        self._phase += 1
        await asyncio.gather(*(self._act(name, make, stop) for name, make in ACTORS.items()))

    async def _act(self, name: str, make: Make, stop: asyncio.Event) -> None:
        chance = random.Random(f"{self._seed} {self._phase} {name}")
        try:
            client = await self.connect(name)
        except OSError:
            return
        actor: Actor = make(client, self.prefix, chance, stop)
        try:
            await actor.run()
        except Exception:
            if client.is_connected:
                raise
        finally:
            await client.close()

    async def list_all(self, *, is_final: bool = False) -> dict[str, Listing]:
        """List every mailbox, sources of dead letters before their target."""
        found = {}
        async with await self.connect("lister") as client:
            for box in (*(one for one in OPTIONS if one != "dead"), "dead"):
                listing = await client.list(f"{self.prefix}.{box}", is_final=is_final)
                assert listing is not None
                found[box] = listing
        return found

    async def finish(self, settle: float = SETTLE_SECONDS, patience: float = WAIT_SECONDS) -> None:
        """Wait until nothing happens any more, and see that subscribers get what LIST shows.

        `settle`: how long to wait for expiry, delays and time-outs. `patience`: and for deliveries that do
        not come.
        """
        await asyncio.sleep(settle)
        async with await self.connect("reader") as client:
            before = len(self.history.deliveries)
            subscriptions = {box: await client.subscribe(f"{self.prefix}.{box}") for box in OPTIONS}
            wanted = await self.list_all()

            async def all_delivered() -> bool:
                got = Counter(one.subscription for one in self.history.deliveries[before:])
                return all(
                    got[subscriptions[box].number] >= len(listing.messages) for box, listing in wanted.items()
                )

            with contextlib.suppress(AssertionError):  # the rules say what is missing
                await wait_until_async(all_delivered, patience)
            await self.list_all(is_final=True)
