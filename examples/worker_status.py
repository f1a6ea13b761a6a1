"""An orchestrator watches its workers by reading their status mailboxes; one that dies disappears by itself.

Each report starts the mailbox's TTL again. Nobody polls, and nobody signs off.
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
    """Report a few times, then die without a word."""
    async with await nats.connect(URL) as client:
        mailbox = f"status.{name}"
        await ask(client, "CREATE", name=mailbox, public=True, ttl=TTL_SECONDS, desc="worker status")
        before = None
        for n in range(reports):
            stored = await ask(client, f"MSG.{mailbox}", worker=name, report=n, load=0.3)
            if before is not None:  # only the newest report is worth keeping
                await ask(client, f"DELETE.{mailbox}.{before}")
            before = stored["msg_id"]
            await asyncio.sleep(REPORT_SECONDS)
    print(f"[{name}] is gone")


async def is_alive(client: nats.NATS, name: str) -> bool:
    """Whether the worker's status mailbox is still there; asking does not prolong its life."""
    try:
        await ask(client, f"LIST.status.{name}", limit=1)
    except MailboxError as error:
        expect(error.code == "mailbox_not_found", f"an expired mailbox is not found, but: {error}")
        return False
    return True


async def main() -> None:
    heard: dict[str, int] = {}

    async def on_report(message: Msg) -> None:
        report = json.loads(message.data)
        heard[report["worker"]] = heard.get(report["worker"], 0) + 1

    async with await nats.connect(URL) as orchestrator:
        # The names are known by convention; a subscription may come before its mailbox.
        for name in ("worker001", "worker002"):
            await orchestrator.subscribe(f"$mq9.AI.MAILBOX.MSG.status.{name}", cb=on_report)
        steady = asyncio.create_task(worker("worker001", reports=12))
        await worker("worker002", reports=2)
        print("[orchestrator] reports so far:", heard)
        expect(await is_alive(orchestrator, "worker002"), "the mailbox outlives its worker for its TTL")

        await asyncio.sleep(TTL_SECONDS + 0.7)
        expect(
            not await is_alive(orchestrator, "worker002"), "a silent worker's mailbox expires, watched or not"
        )
        expect(await is_alive(orchestrator, "worker001"), "the mailbox of a worker that reports stays")
        print("[orchestrator] worker002 has expired, worker001 is alive")
        await steady
    expect(heard.get("worker002", 0) >= 2, "every report of worker002 arrived")
    expect(heard.get("worker001", 0) >= 12, "every report of worker001 arrived")
    print("[orchestrator] reports in all:", heard)


asyncio.run(main())
