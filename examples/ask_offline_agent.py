"""Agent A asks agent B while B is offline. B answers while A is offline. A reads the answer later.

The two agents are never online together. `Mq9-Reply-To` of the question names the mailbox for the answer.
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
            headers={"Mq9-Reply-To": reply_to, "Mq9-Correlation-Id": correlation_id},
        )
    print("[A] asks B, which is offline; then A goes offline too")


async def answer_questions(mailbox: str) -> None:
    async with await nats.connect(URL) as b:
        inbox = await b.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        print("[B] is online and reads:", json.loads(message.data)["question"])
        # One commit sends the answer and deletes the question: B may die at any time.
        sent = json.loads((await b.request(message.reply, b'{"answer": "72%"}', timeout=3)).data)
        expect(sent["deleted"] is True, "an answer deletes the question")
    print("[B] has answered and goes offline")


async def read_answer(mailbox: str) -> tuple[str, str]:
    """The answer, and the correlation id of the question to which it belongs."""
    async with await nats.connect(URL) as a:
        inbox = await a.subscribe(f"$mq9.AI.MAILBOX.MSG.{mailbox}")
        message = await inbox.next_msg(timeout=3)
        await message.respond(b"")
        answer = json.loads(message.data)["answer"]
        print("[A] is online and reads:", answer)
        return answer, (message.headers or {})["Mq9-Correlation-Id"]


async def main() -> None:
    correlation_id = uuid.uuid4().hex
    mailbox_of_a, mailbox_of_b = await open_mailbox("agent.a"), await open_mailbox("agent.b")
    await put_question(mailbox_of_b, mailbox_of_a, correlation_id)
    await answer_questions(mailbox_of_b)
    answer = await read_answer(mailbox_of_a)
    expect(answer == ("72%", correlation_id), "A reads B's answer to its question")


asyncio.run(main())
