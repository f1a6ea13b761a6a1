"""Two people may approve what an agent wants to do. Both answer at once, and one decision counts, with proof.

The broker gives the answer of the first to the agent and tells the second that it came too late. `Mq9-From`
says who decided: the broker writes it, and no client can. For that the clients sign in, so start the broker
with these users in a file, `mq9fast --config users.toml`:

    [[users]]
    user = "agent"
    password = "secret"

    [[users]]
    user = "zhang"
    password = "secret"

    [[users]]
    user = "weber"
    password = "secret"
    permissions.publish = ["$mq9.AI.MAILBOX.DELETE.approvals.deploy.*"]
"""

import asyncio
import json
import os

import nats
from mq9 import ask, delete_all, expect
from nats.aio.msg import Msg

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
APPROVALS = "approvals.deploy"
APPROVERS = ("zhang", "weber")


async def sign_in(user: str) -> nats.NATS:
    return await nats.connect(URL, user=user, password="secret")


async def decide(approver: nats.NATS, question: Msg, name: str) -> bool:
    """Answer the question. Returns whether this decision counts."""
    body = json.dumps({"approved": name == "zhang"}).encode()
    reply = json.loads((await approver.request(question.reply, body, timeout=3)).data)
    print(f"[{name}]", "has decided" if reply["deleted"] else "came too late")
    return bool(reply["deleted"])


async def main() -> None:
    async with await sign_in("agent") as agent:
        await ask(agent, "CREATE", name=APPROVALS, desc="may a version be deployed?")
        await delete_all(agent, APPROVALS)
        mailbox = (await ask(agent, "CREATE", prefix="agent", ttl=300))["mail_address"]

        approvers = [await sign_in(name) for name in APPROVERS]
        inboxes = [await each.subscribe(f"$mq9.AI.MAILBOX.MSG.{APPROVALS}") for each in approvers]
        await ask(agent, f"MSG.{APPROVALS}", headers={"Mq9-Reply-To": mailbox}, deploy="v1.7")
        questions = [await inbox.next_msg(timeout=3) for inbox in inboxes]
        decisions = await asyncio.gather(*map(decide, approvers, questions, APPROVERS))
        expect(sum(decisions) == 1, "one of two answers counts")
        winner = APPROVERS[decisions.index(True)]

        # Anybody who knows the address may write this text, but not the header.
        await ask(agent, f"MSG.{mailbox}", headers={"Mq9-From": "zhang"}, approved=True, by="zhang")
        answer, forged = (await ask(agent, f"LIST.{mailbox}"))["messages"]
        print(f"[agent] {answer['payload']}, decided by {answer['from']}")
        expect(answer["from"] == winner, "the broker proves who answered")
        expect(answer["headers"]["Mq9-In-Reply-To"].startswith(APPROVALS), "and what the answer is about")
        expect(forged["from"] == "agent", "a forged sender is replaced by the real one")
        for approver in approvers:
            await approver.close()


asyncio.run(main())
