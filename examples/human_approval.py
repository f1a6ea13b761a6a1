"""An agent needs a human's yes. Both have a mailbox, neither has to be there when the other writes.

The correlation_id in the payload pairs the answer with the request. There is no approval service.
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import ask, discard_all, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
APPROVER = "approver.zhang"


async def open_desk() -> None:
    """The human's mailbox has a name that everybody knows."""
    async with await nats.connect(URL) as human:
        await ask(human, "CREATE", name=APPROVER, public=True, desc="approvals, Zhang")
        await discard_all(human, APPROVER)
        await ask(human, f"MSG.{APPROVER}", type="newsletter", content="not urgent at all")


async def request_approval(correlation_id: str) -> str:
    """The agent asks, with priority, says where the answer goes, and does something else meanwhile."""
    async with await nats.connect(URL) as agent:
        mailbox = (await ask(agent, "CREATE", prefix="agent", ttl=300))["mail_address"]
        await ask(
            agent,
            f"MSG.{APPROVER}.urgent",
            type="approval_request",
            content="call the external API, estimated cost $50",
            reply_to=mailbox,
            correlation_id=correlation_id,
        )
    print("[agent] asked, and is gone")
    return mailbox


async def approve() -> None:
    """The human looks into the mailbox after lunch."""
    async with await nats.connect(URL) as human:
        inbox = await human.subscribe(f"$mq9.AI.MAILBOX.MSG.{APPROVER}")
        message = await inbox.next_msg(timeout=3)
        request = json.loads(message.data)
        expect(request["type"] == "approval_request", "what is urgent lies on top")
        print("[human] reads:", request["content"])
        await ask(
            human,
            f"MSG.{request['reply_to']}",
            approved=True,
            by=APPROVER,
            correlation_id=request["correlation_id"],
        )
        await message.respond(b"")
        await human.flush()
    print("[human] approved, and is gone")


async def read_answer(mailbox: str) -> dict[str, object]:
    async with await nats.connect(URL) as agent:
        inbox = await agent.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        await message.respond(b"")
        answer: dict[str, object] = json.loads(message.data)
        print(f"[agent] is back: approved={answer['approved']} by {answer['by']}")
        return answer


async def main() -> None:
    correlation_id = uuid.uuid4().hex
    await open_desk()
    mailbox = await request_approval(correlation_id)
    await approve()
    answer = await read_answer(mailbox)
    expect(answer["approved"] is True, "the human's answer reaches the agent")
    expect(answer["correlation_id"] == correlation_id, "the answer belongs to the request")


asyncio.run(main())
