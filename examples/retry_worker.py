"""A worker that cannot do a task gives it back. After three tries it moves the task to another mailbox.

`nak()` of nats-py answers with -NAK: the task goes back to its queue group, and the next member gets it.
"""

import asyncio
import json
import os
from collections import Counter

import nats
from mq9 import ask, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
MAX_TRIES = 3


async def main() -> None:
    tries: Counter[str] = Counter()
    done: list[str] = []
    async with await nats.connect(URL) as client, await nats.connect(URL) as other:
        tasks = (await ask(client, "CREATE", prefix="task", ttl=60))["mail_address"]
        failed = (await ask(client, "CREATE", prefix="task.failed", ttl=60))["mail_address"]

        async def on_task(message: Msg) -> None:
            task = json.loads(message.data)["task"]
            tries[task] += 1
            if task == "impossible" or (task == "flaky" and tries[task] == 1):
                if tries[task] < MAX_TRIES:
                    print(f"[worker] gives back: {task}, try {tries[task]}")
                    await message.nak()
                    return
                print(f"[worker] gives up: {task}")
                await ask(client, f"MSG.{failed}", task=task, tries=tries[task])
            else:
                print(f"[worker] has done: {task}, try {tries[task]}")
                done.append(task)
            await message.ack()

        for worker in (client, other):
            await worker.subscribe(f"$mq9.AI.MAILBOX.MSG.{tasks}", queue="workers", cb=on_task)
        for task in ("easy", "flaky", "impossible"):
            await ask(client, f"MSG.{tasks}", task=task)
        for _ in range(300):
            if (await ask(client, f"LIST.{tasks}"))["total"] == 0:
                break
            await asyncio.sleep(0.1)
        given_up = await ask(client, f"LIST.{failed}")
    expect(sorted(done) == ["easy", "flaky"], "a task that was given back is delivered again")
    expect(
        tries == {"easy": 1, "flaky": 2, "impossible": MAX_TRIES},
        "only a task that was given back is delivered again",
    )
    expect(
        [json.loads(message["payload"])["task"] for message in given_up["messages"]] == ["impossible"],
        "the impossible task is in the mailbox for failures, and no other task is",
    )


asyncio.run(main())
