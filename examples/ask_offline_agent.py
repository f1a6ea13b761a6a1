"""Agent A asks agent B while B is offline. B answers while A is offline. A reads the answer later.

The two agents are never online together. The question names the mailbox for the answer.
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")


async def open_mailbox(prefix: str) -> str:
    async with await nats.connect(URL) as agent:
        return (await ask(agent, "CREATE", prefix=prefix, ttl=300))["mail_address"]


async def put_question(mailbox_of_b: str, reply_to: str, correlation_id: str) -> None:
    async with await nats.connect(URL) as a:
        await ask(
            a,
            f"MSG.{mailbox_of_b}",
            question="what is the current progress?",
            reply_to=reply_to,
            correlation_id=correlation_id,
        )
    print("[A] asks B, which is offline; then A goes offline too")


async def answer_questions(mailbox: str) -> None:
    async with await nats.connect(URL) as b:
        inbox = await b.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        request = json.loads(message.data)
        print("[B] is online and reads:", request["question"])
        await ask(b, f"MSG.{request['reply_to']}", answer="72%", correlation_id=request["correlation_id"])
        # Answer first, delete second: if B dies in between, it gets the question again.
        deleted = await message.ack_sync(timeout=3)
        expect(json.loads(deleted.data) == {"deleted": True}, "an answer deletes the question")
    print("[B] has answered and goes offline")


async def read_answer(mailbox: str) -> dict[str, str]:
    async with await nats.connect(URL) as a:
        inbox = await a.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        await message.respond(b"")
        answer: dict[str, str] = json.loads(message.data)
        print("[A] is online and reads:", answer["answer"])
        return answer


async def main() -> None:
    correlation_id = uuid.uuid4().hex
    mailbox_of_a, mailbox_of_b = await open_mailbox("agent.a"), await open_mailbox("agent.b")
    await put_question(mailbox_of_b, mailbox_of_a, correlation_id)
    await answer_questions(mailbox_of_b)
    answer = await read_answer(mailbox_of_a)
    expect(
        answer == {"answer": "72%", "correlation_id": correlation_id}, "A reads B's answer to its question"
    )


asyncio.run(main())
