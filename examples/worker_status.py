"""An orchestrator watches the status mailboxes of its workers. The mailbox of a worker that dies expires.

Each report starts the TTL of the mailbox again. The orchestrator does not poll, and workers do not sign off.
"""

import asyncio
import json
import os

import nats
from mq9 import MailboxError, ask, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
TTL_SECONDS = 2
REPORT_SECONDS = 0.3


async def worker(name: str, reports: int) -> None:
    """Report a few times, then disconnect without signing off."""
    async with await nats.connect(URL) as client:
        mailbox = f"status.{name}"
        await ask(client, "CREATE", name=mailbox, public=True, ttl=TTL_SECONDS, desc="worker status")
        before = None
        for n in range(reports):
            stored = await ask(client, f"MSG.{mailbox}", worker=name, report=n, load=0.3)
            if before is not None:  # keep only the newest report
                await ask(client, f"DELETE.{mailbox}.{before}")
            before = stored["msg_id"]
            await asyncio.sleep(REPORT_SECONDS)
    print(f"[{name}] goes offline")


async def is_alive(client: nats.NATS, name: str) -> bool:
    """Whether the status mailbox of the worker still exists. LIST does not restart its TTL."""
    try:
        await ask(client, f"LIST.status.{name}", limit=1)
    except MailboxError as error:
        expect(
            error.code == "mailbox_not_found", f"an expired mailbox gets mailbox_not_found, not: {error.code}"
        )
        return False
    return True


async def main() -> None:
    received: dict[str, int] = {}

    async def on_report(message: Msg) -> None:
        report = json.loads(message.data)
        received[report["worker"]] = received.get(report["worker"], 0) + 1

    async with await nats.connect(URL) as orchestrator:
        # The names are known by convention. A client may subscribe before the mailbox exists.
        for name in ("worker001", "worker002"):
            await orchestrator.subscribe(f"$mq9.AI.MAILBOX.MSG.status.{name}", cb=on_report)
        steady = asyncio.create_task(worker("worker001", reports=12))
        await worker("worker002", reports=2)
        print("[orchestrator] reports so far:", received)
        expect(
            await is_alive(orchestrator, "worker002"),
            "the mailbox of a worker that disconnected stays until its TTL ends",
        )

        await asyncio.sleep(TTL_SECONDS + 0.7)
        expect(
            not await is_alive(orchestrator, "worker002"),
            "the mailbox of a silent worker expires, even with a subscriber",
        )
        expect(await is_alive(orchestrator, "worker001"), "the mailbox of a worker that reports stays")
        print("[orchestrator] worker002 has expired, worker001 is alive")
        await steady
    expect(received.get("worker002", 0) >= 2, "every report of worker002 arrived")
    expect(received.get("worker001", 0) >= 12, "every report of worker001 arrived")
    print("[orchestrator] reports in total:", received)


asyncio.run(main())
