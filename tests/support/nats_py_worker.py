"""One worker of a queue group with an unmodified nats-py, as a process: it does each task a little while.

Run as `python nats_py_worker.py URL ADDRESS JOURNAL WORK_SECONDS`. It writes an event a line to its journal,
with the task's payload and the time in nanoseconds: `ready` when it has subscribed, `got` when it begins with
a task, then `true` or `false`: what the broker said to its answer.
"""

import asyncio
import json
import os
import sys
import time

import nats
from nats.aio.msg import Msg


async def main(url: str, address: str, journal: str, work_seconds: str) -> None:
    out = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(event: str, task: str) -> None:
        os.write(out, f"{event} {task} {time.monotonic_ns()}\n".encode())

    async def work(message: Msg) -> None:
        task = message.data.decode()
        note("got", task)
        await asyncio.sleep(float(work_seconds))
        reply = await message.ack_sync(timeout=60)
        note(json.dumps(json.loads(reply.data)["deleted"]), task)

    client = await nats.connect(url)
    await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{address}", "workers", cb=work)
    await client.flush()
    note("ready", "-")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
