"""Agents declare their capabilities. An orchestrator asks for one and gives the job to an agent that answers.

A declaration lives as long as its agent renews it. There is no registry. The result of the job is the answer
to the message with the job (`Mq9-Reply-To`).
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import MailboxError, ask, delete_all, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
QUERIES = "capability.query"
TTL_SECONDS = 2
RENEW_SECONDS = 0.4


async def agent(name: str, capabilities: list[str], seconds: float) -> None:
    """Declare the capabilities, renew the declaration, answer queries and do jobs, for some seconds."""
    mailbox = f"capability.{name}"
    async with await nats.connect(URL) as client:
        await ask(client, "CREATE", name=mailbox, public=True, ttl=TTL_SECONDS)
        # The key makes it replace an older declaration.
        await ask(client, f"MSG.{mailbox}", headers={"Mq9-Key": "capabilities"}, capabilities=capabilities)

        async def on_query(message: Msg) -> None:
            query = json.loads(message.data)
            if query["need"] in capabilities:
                await ask(client, f"MSG.{query['reply_to']}", agent=mailbox)

        async def on_job(message: Msg) -> None:
            job = json.loads(message.data)
            if "job" in job:  # the declaration is in the same mailbox
                await message.respond(json.dumps({"done": job["job"], "by": name}).encode())

        await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{QUERIES}", cb=on_query)
        await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}", cb=on_job)
        for _ in range(round(seconds / RENEW_SECONDS)):
            await asyncio.sleep(RENEW_SECONDS)
            await ask(client, "CREATE", name=mailbox, public=True)  # starts the TTL again
    print(f"[{name}] goes offline")


async def main() -> None:
    need = f"data.analysis.{uuid.uuid4().hex[:6]}"
    async with await nats.connect(URL) as orchestrator:
        await ask(orchestrator, "CREATE", name=QUERIES, public=True, desc="queries for capabilities")
        await delete_all(orchestrator, QUERIES)
        agents = [
            asyncio.create_task(agent("worker001", [need, "report.generation"], seconds=2.4)),
            asyncio.create_task(agent("worker002", ["text.generation"], seconds=2.4)),
        ]
        own = (await ask(orchestrator, "CREATE", ttl=60))["mail_address"]
        inbox = await orchestrator.subscribe(f"$mq9.AI.MAILBOX.MSG.{own}")

        # Agents that subscribe after this get the query too.
        await ask(orchestrator, f"MSG.{QUERIES}", need=need, reply_to=own)
        print("[orchestrator] asks for an agent with data.analysis")
        found = json.loads((await inbox.next_msg(timeout=3)).data)["agent"]
        print("[orchestrator] found", found)
        expect(found == "capability.worker001", "an agent with the capability answers")

        await ask(orchestrator, f"MSG.{found}", headers={"Mq9-Reply-To": own}, job="analyse")
        done = json.loads((await inbox.next_msg(timeout=3)).data)
        print(f"[orchestrator] {done['by']} has done the job: {done['done']}")
        expect(done == {"done": "analyse", "by": "worker001"}, "the agent that was found does the job")

        await asyncio.gather(*agents)
        expect(await declared(orchestrator, found), "a declaration stays until its TTL ends")
        await asyncio.sleep(TTL_SECONDS + 0.7)
        expect(not await declared(orchestrator, found), "a declaration without renewal expires")
        print(f"[orchestrator] {found} has expired")


async def declared(client: nats.NATS, mailbox: str) -> bool:
    try:
        await ask(client, f"LIST.{mailbox}", limit=1)
    except MailboxError as error:
        expect(
            error.code == "mailbox_not_found", f"an expired mailbox gets mailbox_not_found, not: {error.code}"
        )
        return False
    return True


asyncio.run(main())
