"""A sub-agent finishes a task and sends the result to the orchestrator, which is offline at that moment.

The mailbox of the orchestrator keeps the result. LIST at the end is the safety net: no result was missed.
"""

import asyncio
import json
import os

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")


async def start_task() -> str:
    """The orchestrator creates a mailbox for the result, and goes offline."""
    async with await nats.connect(URL) as client:
        mailbox = await ask(client, "CREATE", ttl=60)
        print("[orchestrator] results go to", mailbox["mail_address"])
        return mailbox["mail_address"]


async def work(address: str, task: str, result: str) -> None:
    """A sub-agent sends its result. It does not need to know whether the orchestrator is online."""
    async with await nats.connect(URL) as client:
        stored = await ask(client, f"MSG.{address}", task=task, result=result)
        print(f"[sub-agent] {task} is done, stored as message {stored['msg_id']}")


async def collect(address: str) -> dict[str, str]:
    """The orchestrator is online again. It gets the stored result first, then a new one."""
    results = {}
    async with await nats.connect(URL) as client:
        inbox = await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{address}")
        late = asyncio.create_task(work(address, "t-002", "no anomalies"))
        for _ in range(2):
            message = await inbox.next_msg(timeout=3)
            report = json.loads(message.data)
            results[report["task"]] = report["result"]
            print(f"[orchestrator] {report['task']}: {report['result']}")
            # Delivery does not delete a message. An answer does.
            await message.respond(b"")
        await late
        left = await ask(client, f"LIST.{address}")
        expect(left["total"] == 0, "an answer deletes the result, so the mailbox is empty")
    return results


async def main() -> None:
    address = await start_task()
    await work(address, "t-001", "anomaly rate 2.3%")
    results = await collect(address)
    expect(
        results == {"t-001": "anomaly rate 2.3%", "t-002": "no anomalies"},
        "each result reaches the orchestrator, online or offline when it was sent",
    )


asyncio.run(main())
