"""Agents say what they can do; an orchestrator asks who can do the job, and gives it to one that answers.

A declaration lives as long as its agent renews it. There is no registry.
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import MailboxError, ask, discard_all, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
QUERIES = "capability.query"
TTL_SECONDS = 2
RENEW_SECONDS = 0.4


async def agent(name: str, capabilities: list[str], seconds: float) -> None:
    """Declare, renew, answer queries and take jobs, for a while."""
    mailbox = f"capability.{name}"
    async with await nats.connect(URL) as client:
        await ask(client, "CREATE", name=mailbox, public=True, ttl=TTL_SECONDS)
        await discard_all(client, mailbox)
        await ask(client, f"MSG.{mailbox}", capabilities=capabilities)

        async def on_query(message: Msg) -> None:
            query = json.loads(message.data)
            if query["need"] in capabilities:
                await ask(client, f"MSG.{query['reply_to']}", agent=mailbox)

        async def on_job(message: Msg) -> None:
            job = json.loads(message.data)
            if "job" in job:  # the declaration lies in the same mailbox
                await message.respond(b"")
                await ask(client, f"MSG.{job['reply_to']}", done=job["job"], by=name)

        await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{QUERIES}", cb=on_query)
        await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}", cb=on_job)
        for _ in range(round(seconds / RENEW_SECONDS)):
            await asyncio.sleep(RENEW_SECONDS)
            await ask(client, "CREATE", name=mailbox, public=True)  # renews: the TTL starts again
    print(f"[{name}] is gone")


async def main() -> None:
    need = f"data.analysis.{uuid.uuid4().hex[:6]}"
    async with await nats.connect(URL) as orchestrator:
        await ask(orchestrator, "CREATE", name=QUERIES, public=True, desc="who can do what")
        await discard_all(orchestrator, QUERIES)
        agents = [
            asyncio.create_task(agent("worker001", [need, "report.generation"], seconds=2.4)),
            asyncio.create_task(agent("worker002", ["text.generation"], seconds=2.4)),
        ]
        own = (await ask(orchestrator, "CREATE", ttl=60))["mail_address"]
        inbox = await orchestrator.subscribe(f"$mq9.AI.MAILBOX.MSG.{own}")

        # Agents that subscribe later than this read the query all the same.
        await ask(orchestrator, f"MSG.{QUERIES}", need=need, reply_to=own)
        print("[orchestrator] asks: who can do data.analysis?")
        found = json.loads((await inbox.next_msg(timeout=3)).data)["agent"]
        print("[orchestrator] found", found)
        expect(found == "capability.worker001", "the agent that can do it answers")

        await ask(orchestrator, f"MSG.{found}", job="analyse", reply_to=own)
        done = json.loads((await inbox.next_msg(timeout=3)).data)
        print(f"[orchestrator] {done['by']} did it: {done['done']}")
        expect(done == {"done": "analyse", "by": "worker001"}, "the agent found does the job")

        await asyncio.gather(*agents)
        expect(await declared(orchestrator, found), "a declaration outlives its agent for its TTL")
        await asyncio.sleep(TTL_SECONDS + 0.7)
        expect(not await declared(orchestrator, found), "a declaration that nobody renews expires")
        print(f"[orchestrator] {found} has expired")


async def declared(client: nats.NATS, mailbox: str) -> bool:
    try:
        await ask(client, f"LIST.{mailbox}", limit=1)
    except MailboxError as error:
        expect(error.code == "mailbox_not_found", f"an expired mailbox is not found, but: {error}")
        return False
    return True


asyncio.run(main())
