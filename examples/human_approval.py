"""An agent needs the approval of a human. Each has a mailbox, so each may be offline when the other writes.

`Mq9-Reply-To` names the mailbox for the answer. The human answers with an ordinary `respond`: in one commit
the broker sends the answer to that mailbox and deletes the request. There is no approval service.
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import ask, delete_all, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
APPROVER = "approver.zhang"


async def create_mailbox_of_human() -> None:
    """The mailbox of the human has a well-known name."""
    async with await nats.connect(URL) as human:
        await ask(human, "CREATE", name=APPROVER, public=True, desc="approvals, Zhang")
        await delete_all(human, APPROVER)
        await ask(human, f"MSG.{APPROVER}", type="newsletter", content="not urgent at all")


async def request_approval(correlation_id: str) -> str:
    """The agent sends an urgent request that names the mailbox for the answer, and goes offline."""
    async with await nats.connect(URL) as agent:
        mailbox = (await ask(agent, "CREATE", prefix="agent", ttl=300))["mail_address"]
        await ask(
            agent,
            f"MSG.{APPROVER}.urgent",
            type="approval_request",
            content="call the external API, estimated cost $50",
            headers={"Mq9-Reply-To": mailbox, "Mq9-Correlation-Id": correlation_id},
        )
    print("[agent] has asked and goes offline")
    return mailbox


async def approve() -> None:
    """The human reads the mailbox later."""
    async with await nats.connect(URL) as human:
        inbox = await human.subscribe(f"$mq9.AI.MAILBOX.MSG.{APPROVER}")
        message = await inbox.next_msg(timeout=3)
        request = json.loads(message.data)
        expect(request["type"] == "approval_request", "the urgent message comes first")
        print("[human] reads:", request["content"])
        await message.respond(json.dumps({"approved": True, "by": APPROVER}).encode())
        await human.flush()
    print("[human] has approved and goes offline")


async def read_answer(mailbox: str) -> tuple[dict[str, object], str]:
    """The answer, and the correlation id of the request to which it belongs."""
    async with await nats.connect(URL) as agent:
        inbox = await agent.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        await message.respond(b"")
        answer: dict[str, object] = json.loads(message.data)
        print(f"[agent] is online and reads: approved={answer['approved']} by {answer['by']}")
        return answer, (message.headers or {})["Mq9-Correlation-Id"]


async def main() -> None:
    correlation_id = uuid.uuid4().hex
    await create_mailbox_of_human()
    mailbox = await request_approval(correlation_id)
    await approve()
    answer, answered = await read_answer(mailbox)
    expect(answer["approved"] is True, "the answer of the human reaches the agent")
    expect(answered == correlation_id, "the answer belongs to the request")


asyncio.run(main())
