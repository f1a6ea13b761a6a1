"""A pool of workers that retries what fails. What cannot be done becomes a dead letter, with its reason.

The mailbox has the rules, so a worker only says what became of a task: `ack()`, `nak()`, `in_progress()` or
`term()` of nats-py. A worker may also hang or die. Then another worker gets its task.
"""

import asyncio
import json
import os
from collections import Counter
from typing import Any

import nats
from mq9 import ask, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
RULES = {
    "max_in_flight": 1,  # a worker holds one task, and the others wait for any free worker
    "ack_wait": 2,  # a task that is not answered within two seconds goes to another worker
    "backoff": [0.1, 0.3],  # seconds before the second try and the third one
    "max_deliver": 3,
}
TASKS = ("easy", "long", "flaky", "hanging", "impossible", "malformed")


class Pool:
    """Workers of one queue group, and what they did: the tries of each task, and the tasks that are done."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.done: list[str] = []

    async def work(self, message: Msg) -> None:
        task = json.loads(message.data)["task"]
        self.tries[task] += 1
        print(f"[worker] {task}, try {self.tries[task]}")
        if task == "malformed":
            await message.respond(b"+TERM this is no task")  # term() gives no reason
        elif task == "impossible" or (task == "flaky" and self.tries[task] == 1):
            await message.nak()
        elif task == "hanging" and self.tries[task] == 1:
            await asyncio.sleep(4)  # by then another worker has done it
            await message.ack()
        else:
            if task == "long":
                for _ in range(3):
                    await asyncio.sleep(0.8)
                    await message.in_progress()
            self.done.append(task)
            await message.ack()


async def settle(client: nats.NATS, tasks: str) -> list[dict[str, Any]]:
    """Send the tasks, and wait until each is done or a dead letter. Returns the events that say so."""
    events = await client.subscribe(f"$mq9.AI.MAILBOX.EVENT.{tasks}.*")
    for task in TASKS:
        await ask(client, f"MSG.{tasks}", task=task)
    settled: list[dict[str, Any]] = []
    while len(settled) < len(TASKS):
        event = json.loads((await events.next_msg(timeout=30)).data)
        if event["event"] in ("settled", "dead_letter"):
            settled.append(event)
    return settled


async def main() -> None:
    pool = Pool()
    async with await nats.connect(URL) as client, await nats.connect(URL) as other:
        tasks = (await ask(client, "CREATE", prefix="task", ttl=60))["mail_address"]
        dead = f"{tasks}.dead"
        await ask(client, "CREATE", name=dead, ttl=60)
        await ask(client, "CREATE", name=tasks, dead_letter=dead, **RULES)
        for worker in (client, other, client):
            await worker.subscribe(f"$mq9.AI.MAILBOX.MSG.{tasks}", queue="workers", cb=pool.work)
        settled = await settle(client, tasks)
        letters = (await ask(client, f"LIST.{dead}"))["messages"]
    for letter in letters:
        print("[operator] dead letter:", letter["payload"], letter["headers"])
    expect(sorted(pool.done) == ["easy", "flaky", "hanging", "long"], "what can be done is done, and once")
    expect(
        pool.tries == {"easy": 1, "long": 1, "flaky": 2, "hanging": 2, "impossible": 3, "malformed": 1},
        "only a task that failed is delivered again, at most three times",
    )
    expect(sum(event["event"] == "dead_letter" for event in settled) == 2, "each dead letter is an event")
    reasons = {json.loads(letter["payload"])["task"]: letter["headers"] for letter in letters}
    expect(reasons.keys() == {"impossible", "malformed"}, "what cannot be done is a dead letter")
    expect(reasons["impossible"]["Mq9-Dead-Reason"] == "max_deliver", "it failed too often")
    expect(reasons["impossible"]["Mq9-Deliveries"] == "3", "a dead letter says how often it was tried")
    expect(reasons["malformed"]["Mq9-Dead-Text"] == "this is no task", "the worker's reason is kept")


asyncio.run(main())
