"""Workers compete for tasks in a queue group. One worker dies with tasks in flight, and the others do them.

A worker answers a task when it is done. The tasks in flight at a worker that dies go back to the group.
"""

import asyncio
import json
import os
import uuid
from collections import Counter

import nats
from mq9 import ask, delete_all, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
QUEUE = "$mq9.AI.MAILBOX.MSG.task.queue"
TASKS = 12


async def start_worker(name: str, done: Counter[str]) -> nats.NATS:
    """Start a worker that does every task it gets."""
    client = await nats.connect(URL)

    async def on_task(message: Msg) -> None:
        task = json.loads(message.data)["task"]
        done[task] += 1
        print(f"[{name}] has done {task}")
        await message.ack()  # any answer deletes the task

    await client.subscribe(QUEUE, queue="task.workers", cb=on_task)
    await client.flush()
    return client


async def die_at_work(tasks_in_flight: int) -> list[str]:
    """Run a worker that gets tasks and disconnects before it answers any."""
    async with await nats.connect(URL) as client:
        inbox = await client.subscribe(QUEUE, queue="task.workers")
        taken = [json.loads((await inbox.next_msg(timeout=3)).data)["task"] for _ in range(tasks_in_flight)]
    print(f"[worker-3] died with these tasks in flight: {', '.join(taken)}")
    return taken


async def main() -> None:
    done: Counter[str] = Counter()
    run = uuid.uuid4().hex[:6]
    tasks = [f"task-{run}-{n:02}" for n in range(TASKS)]
    async with await nats.connect(URL) as orchestrator:
        await ask(orchestrator, "CREATE", name="task.queue", public=True, desc="tasks for any free worker")
        await delete_all(orchestrator, "task.queue")

        dying = asyncio.create_task(die_at_work(tasks_in_flight=TASKS // 2))
        for task in tasks[: TASKS // 2]:
            await ask(orchestrator, "MSG.task.queue", task=task)
        taken = await dying
        expect(not done and len(taken) == TASKS // 2, "the only worker gets every task")

        workers = [await start_worker(name, done) for name in ("worker-1", "worker-2")]
        for task in tasks[TASKS // 2 :]:
            await ask(orchestrator, "MSG.task.queue", task=task)
        for _ in range(300):
            if (await ask(orchestrator, "LIST.task.queue"))["total"] == 0:
                break
            await asyncio.sleep(0.1)
        for worker in workers:
            await worker.close()
    expect(sorted(done) == tasks, "every task is done, also the tasks of the worker that died")
    expect(set(done.values()) == {1}, "no task is done twice")
    print(f"[orchestrator] {len(done)} tasks are done, each once")


asyncio.run(main())
