"""What the typed client costs over bare nats-py: `python -m bench.client_overhead`.

Both talk to the same broker, in turn. The lowest of several rounds counts. docs/performance.md has the table.
"""

import asyncio
import json
import tempfile
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, NamedTuple

import nats
from nats.aio.msg import Msg

import mq9fast
from mq9fast.client import Mq9
from tests.support.broker import Broker

MESSAGES = 2000
ROUNDS = 5
SECONDS = 30
BODY = {"task": "build", "tries": 3}
MAILBOX = "$mq9.AI.MAILBOX."
QUEUE, QUESTIONS, ANSWERS = "overhead", "overhead.questions", "overhead.answers"


class Figures(NamedTuple):
    """Microseconds for each message: of processor time of this program, and of elapsed time."""

    processor: float
    elapsed: float


class Bare:
    """With nats-py alone, as in examples/."""

    def __init__(self, client: nats.NATS) -> None:
        self._client = client

    async def send(self) -> None:
        for _ in range(MESSAGES):
            reply = await self._client.request(f"{MAILBOX}MSG.{QUEUE}", json.dumps(BODY).encode(), SECONDS)
            json.loads(reply.data)["msg_id"]

    async def receive(self) -> None:
        subscription = await self._client.subscribe(f"{MAILBOX}MSG.{QUEUE}", queue="bare")
        for _ in range(MESSAGES):
            message = await subscription.next_msg(SECONDS)
            json.loads(message.data)
            await message.respond(b"")
        await self._client.flush()
        await subscription.unsubscribe()

    async def ask(self) -> None:
        waiting: dict[str, asyncio.Future[Any]] = {}

        async def on_answer(message: Msg) -> None:
            await message.respond(b"")
            waiting.pop((message.headers or {})["Mq9-Correlation-Id"]).set_result(json.loads(message.data))

        subscription = await self._client.subscribe(f"{MAILBOX}MSG.{ANSWERS}", cb=on_answer)
        for _ in range(MESSAGES):
            correlation = uuid.uuid4().hex
            waiting[correlation] = answer = asyncio.get_running_loop().create_future()
            headers = {"Mq9-Reply-To": ANSWERS, "Mq9-Correlation-Id": correlation}
            body = json.dumps(BODY).encode()
            await self._client.request(f"{MAILBOX}MSG.{QUESTIONS}", body, SECONDS, headers=headers)
            await answer
        await subscription.unsubscribe()


class Typed:
    """With `mq9fast.connect()`."""

    def __init__(self, mq9: Mq9, prefetch: int) -> None:
        self._mq9 = mq9
        self._prefetch = prefetch

    async def send(self) -> None:
        for _ in range(MESSAGES):
            await self._mq9.send(QUEUE, BODY)

    async def receive(self) -> None:
        async with self._mq9.group(QUEUE, "typed", prefetch=self._prefetch) as group:
            for _ in range(MESSAGES):
                async with await group.next(SECONDS) as message:
                    _ = message.body

    async def ask(self) -> None:
        for _ in range(MESSAGES):
            _ = (await self._mq9.ask(QUESTIONS, BODY)).body


async def measure(step: Awaitable[None]) -> Figures:
    processor, elapsed = time.process_time(), time.perf_counter()
    await step
    spent = (time.process_time() - processor, time.perf_counter() - elapsed)
    return Figures(*(seconds / MESSAGES * 1e6 for seconds in spent))


async def run(url: str) -> dict[str, Figures]:
    best: dict[str, Figures] = {}

    async def answer(message: Msg) -> None:
        await message.respond(b'{"done": true}')

    async with await nats.connect(url) as client, mq9fast.connect(url) as mq9:
        for address in (QUEUE, QUESTIONS, ANSWERS):
            await mq9.create(address)
        await client.subscribe(f"{MAILBOX}MSG.{QUESTIONS}", queue="answerers", cb=answer)
        clients: dict[str, Bare | Typed] = {
            "nats-py": Bare(client),
            "prefetch 1": Typed(mq9, 1),
            "prefetch 64": Typed(mq9, 64),
        }
        for _ in range(ROUNDS):
            for name, each in clients.items():
                for step in (each.send, each.receive, each.ask):
                    row = f"{step.__name__}, {name}"
                    figures = await measure(step())
                    best[row] = min(best.get(row, figures), figures)
    return best


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(Path(directory) / "data", "--sync", "never")
        try:
            for row, figures in sorted(asyncio.run(run(broker.url)).items()):
                print(f"{row:22} {figures.processor:7.0f} µs of processor time {figures.elapsed:7.0f} µs")
        finally:
            broker.end()


if __name__ == "__main__":
    main()
