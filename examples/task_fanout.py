"""Workers compete for tasks in a queue group. One worker dies with tasks in flight, and the others do them.

A worker answers a task when it is done. `max_in_flight` limits how many tasks a worker holds: the rest waits
for any free worker, also for those that join later. The tasks in flight at a worker that dies go back to the
group.
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import ask, delete_all, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
QUEUE = "$mq9.AI.MAILBOX.MSG.task.queue"
TASKS = 12
MAX_IN_FLIGHT = 2


async def start_worker(name: str, done: list[tuple[str, str]]) -> nats.NATS:
    """Start a worker that does every task it gets, and adds its name and the task to `done`."""
    client = await nats.connect(URL)

    async def on_task(message: Msg) -> None:
        task = json.loads(message.data)["task"]
        await asyncio.sleep(0.1)
        done.append((name, task))
        print(f"[{name}] has done {task}")
        await message.ack()  # any answer deletes the task

    await client.subscribe(QUEUE, queue="task.workers", cb=on_task)
    await client.flush()
    return client


async def die_at_work() -> list[str]:
    """Run a worker that gets as many tasks as it may hold, and disconnects before it answers any."""
    async with await nats.connect(URL) as client:
        inbox = await client.subscribe(QUEUE, queue="task.workers")
        taken = [json.loads((await inbox.next_msg(timeout=3)).data)["task"] for _ in range(MAX_IN_FLIGHT)]
        await client.flush()
        expect(inbox.pending_msgs == 0, "a worker gets no more tasks than it may hold")
    print(f"[worker-3] died with these tasks in flight: {', '.join(taken)}")
    return taken


async def main() -> None:
    done: list[tuple[str, str]] = []
    run = uuid.uuid4().hex[:6]
    tasks = [f"task-{run}-{n:02}" for n in range(TASKS)]
    async with await nats.connect(URL) as orchestrator:
        await ask(orchestrator, "CREATE", name="task.queue", public=True, max_in_flight=MAX_IN_FLIGHT)
        await delete_all(orchestrator, "task.queue")
        for task in tasks:
            await ask(orchestrator, "MSG.task.queue", task=task)
        taken = await die_at_work()
        expect(taken == tasks[:MAX_IN_FLIGHT], "the oldest tasks come first")

        workers = [await start_worker(name, done) for name in ("worker-1", "worker-2")]
        for _ in range(300):
            if (await ask(orchestrator, "LIST.task.queue"))["total"] == 0:
                break
            await asyncio.sleep(0.1)
        for worker in workers:
            await worker.close()
    expect(
        sorted(task for _, task in done) == tasks, "every task is done once, also those of the dead worker"
    )
    expect({name for name, _ in done} == {"worker-1", "worker-2"}, "the workers share the tasks")
    print(f"[orchestrator] {len(done)} tasks are done, each once")


asyncio.run(main())
