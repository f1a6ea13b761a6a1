"""Agent A asks agent B, which is offline. B answers when it is back; by then A is away, and reads it later.

Neither ever meets the other: the question names the mailbox that the answer goes to.
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
    print("[A] asked; B is offline, A goes offline too")


async def answer_questions(mailbox: str) -> None:
    async with await nats.connect(URL) as b:
        inbox = await b.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        request = json.loads(message.data)
        print("[B] is back and reads:", request["question"])
        await ask(b, f"MSG.{request['reply_to']}", answer="72%", correlation_id=request["correlation_id"])
        # Answered first, discarded second: if B dies in between, it is asked again, not forgotten.
        discarded = await message.ack_sync(timeout=3)
        expect(json.loads(discarded.data) == {"deleted": True}, "the question is gone once it is answered")
    print("[B] answered, and is offline again")


async def read_answer(mailbox: str) -> dict[str, str]:
    async with await nats.connect(URL) as a:
        inbox = await a.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        await message.respond(b"")
        answer: dict[str, str] = json.loads(message.data)
        print("[A] is back and reads:", answer["answer"])
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
