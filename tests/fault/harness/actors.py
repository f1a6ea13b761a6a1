"""Clients that work at random until they are told to stop, or their connection ends."""

import asyncio
import random
from collections.abc import Callable

from tests.fault.harness.boxes import SIZES, TARGETS, headers_for, priority
from tests.fault.history.client import RecordingClient
from tests.fault.history.records import Delivery, Request

WINDOW = 16


class Actor:
    """One client of the workload. `prefix`: of the addresses. `stop`: set when the work is to end."""

    def __init__(
        self, client: RecordingClient, prefix: str, chance: random.Random, stop: asyncio.Event
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.chance = chance
        self.stop = stop

    @property
    def works(self) -> bool:
        return self.client.is_connected and not self.stop.is_set()

    def address(self, box: str) -> str:
        return f"{self.prefix}.{box}"

    async def wait(self, seconds: float) -> None:
        """Wait, but not longer than the work goes on."""
        tasks = [asyncio.ensure_future(event.wait()) for event in (self.stop, self.client.ended)]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


class Sender(Actor):
    """Sends to all mailboxes, deletes some of it, sends some of it again, and lists."""

    async def run(self) -> None:
        self._sent: list[Request] = []
        await asyncio.gather(*(self._work() for _ in range(WINDOW)))

    async def _work(self) -> None:
        while self.works:
            dice = self.chance.random()
            if dice < 0.15 and self._sent:
                sent = self._sent.pop(self.chance.randrange(len(self._sent)))
                await self.client.delete(sent.address, sent.reply["msg_id"])
            elif dice < 0.17:
                await self.client.list(self.address(self.chance.choice(TARGETS)))
            else:
                await self._send()
            if self.chance.random() < 0.02:
                await self.wait(self.chance.uniform(0, 0.1))

    async def _send(self) -> None:
        box = self.chance.choice(TARGETS)
        headers = headers_for(box, self.prefix, self.chance)
        repeats = self.chance.choice((1, 2)) if box == "retried" else 1
        for _ in range(repeats):
            request = await self.client.msg(
                self.address(box), priority(self.chance), self.chance.choice(SIZES), headers,
                wants_reply=self.chance.random() < 0.95,
            )  # fmt: skip
            if request.is_ok and box not in ("leases", "aged"):
                self._sent.append(request)
        if request.is_refused:
            await self.wait(0.02)


class Subscriber(Actor):
    """Reads mailboxes without a queue group."""

    BOXES = ("work", "later", "keyed", "dead", "receipts", "asker")

    async def run(self) -> None:
        for box in self.BOXES:
            await self.client.subscribe(self.address(box))
        while self.works:
            await self.wait(self.chance.uniform(0.1, 1))
            again = await self.client.subscribe(self.address(self.chance.choice(self.BOXES)))
            await self.wait(self.chance.uniform(0.05, 0.2))
            await self.client.unsubscribe(again)


class Answerer(Actor):
    """Answers questions; there are several, so that they meet."""

    async def run(self) -> None:
        async def on_delivery(delivery: Delivery) -> None:
            if self.works and self.chance.random() < 0.7:
                await self.client.answer(delivery, "answer")

        await self.client.subscribe(self.address("questions"), on_delivery=on_delivery)
        await self.wait(3600)


class Worker(Actor):
    """A member of a queue group that answers in every way there is, and sometimes not at all."""

    def __init__(self, *args: object, box: str) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.box = box

    async def run(self) -> None:
        while self.works:
            member = await self.client.subscribe(
                self.address(self.box), group="workers", on_delivery=self._answer
            )
            await self.wait(self.chance.uniform(0.2, 2))
            if self.works:
                await self.client.unsubscribe(member)

    async def _answer(self, delivery: Delivery) -> None:
        await self.wait(self.chance.choice((0, 0, 0.01, 0.1)))
        if not self.works:
            return
        dice = self.chance.random()
        has_lease = self.box == "leases"
        if has_lease and dice < 0.1:
            await self.wait(0.3)
            await self.client.answer(delivery, "+WPI")
            await self.wait(0.2)
        words = (
            "",
            "",
            "",
            "",
            "+ACK",
            "-NAK",
            f'-NAK {{"delay": {self.chance.randrange(1, 10) * 50_000_000}}}',
        )
        word = self.chance.choice((*words, "+TERM broken", None) if has_lease else words)
        if word is not None and self.works:
            await self.client.answer(delivery, word, wants_reply=self.chance.random() < 0.9)


class Observer(Actor):
    """Watches what becomes of mailboxes and their messages."""

    async def run(self) -> None:
        for box in ("work", "tasks", "leases", "status", "retried", "questions"):
            await self.client.watch(self.address(box), detailed=True)
        await self.wait(3600)


class Visitor(Actor):
    """Makes mailboxes with a TTL, writes to them for a while, and looks whether they end in time."""

    async def run(self) -> None:
        number = 0
        while self.works:
            address = self.address(f"{self.client.name}.{number}")
            number += 1
            await self.client.watch(address)
            await self.client.create(address, ttl=1)
            for _ in range(self.chance.randrange(4)):
                await self.client.msg(address, priority(self.chance), 100)
                await self.wait(self.chance.uniform(0, 0.8))
            await self.client.list(address)
            await self.wait(self.chance.uniform(0.5, 2.5))
            await self.client.list(address)


Make = Callable[[RecordingClient, str, random.Random, asyncio.Event], Actor]


def worker(box: str) -> Make:
    return lambda *args: Worker(*args, box=box)
