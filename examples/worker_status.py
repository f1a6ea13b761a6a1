"""An orchestrator watches the status mailboxes of its workers. The mailbox of a worker that dies expires.

Each report replaces the one before (`max_messages` is 1), and starts the TTL of the mailbox again. The
orchestrator subscribes to the events of each mailbox, so it hears of a death within a second. It does not
poll, and workers do not sign off.
"""

import asyncio
import json
import os

import nats
from mq9 import ask, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
TTL_SECONDS = 2
REPORT_SECONDS = 0.3


async def worker(name: str, reports: int) -> None:
    """Report a few times, then disconnect without signing off."""
    async with await nats.connect(URL) as client:
        mailbox = f"status.{name}"
        latest_only = {"max_messages": 1, "discard": "old"}
        await ask(client, "CREATE", name=mailbox, public=True, ttl=TTL_SECONDS, **latest_only)
        for n in range(reports):
            await ask(client, f"MSG.{mailbox}", worker=name, report=n, load=0.3)
            await asyncio.sleep(REPORT_SECONDS)
    print(f"[{name}] goes offline")


async def main() -> None:
    received: dict[str, int] = {}
    dead: list[str] = []
    died = asyncio.Event()

    async def on_report(message: Msg) -> None:
        report = json.loads(message.data)
        received[report["worker"]] = received.get(report["worker"], 0) + 1

    async def on_event(message: Msg) -> None:
        if json.loads(message.data)["event"] == "expired":
            dead.append(message.subject.rpartition(".")[2])
            died.set()

    async with await nats.connect(URL) as orchestrator:
        # The names are known by convention. A client may subscribe before the mailbox exists.
        for name in ("worker001", "worker002"):
            await orchestrator.subscribe(f"$mq9.AI.MAILBOX.MSG.status.{name}", cb=on_report)
            await orchestrator.subscribe(f"$mq9.AI.MAILBOX.EVENT.status.{name}", cb=on_event)
        steady = asyncio.create_task(worker("worker001", reports=12))
        await worker("worker002", reports=2)
        print("[orchestrator] reports so far:", received)
        expect(dead == [], "the mailbox of a worker that disconnected stays until its TTL ends")

        await asyncio.wait_for(died.wait(), TTL_SECONDS + 3)
        expect(dead == ["worker002"], "the mailbox of a silent worker expires, and only that")
        print("[orchestrator] worker002 has expired, worker001 is alive")
        await steady
    expect(received.get("worker002", 0) >= 2, "every report of worker002 arrived")
    expect(received.get("worker001", 0) >= 12, "every report of worker001 arrived")
    print("[orchestrator] reports in total:", received)


asyncio.run(main())
