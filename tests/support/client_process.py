"""A program that asks, and a program that answers, for tests that kill them.

`python FILE ROLE URL DIRECTORY`. Each writes a line when it has come to the point where it may be killed.
The answerer answers once the file `go` is in the directory. The asker asks again with the same id when it is
started again, and keeps its ticket in a file.
"""

import asyncio
import sys
from pathlib import Path

from tests.support.client import connect
from tests.support.waiting import wait_until_async

QUESTIONS, APPROVALS = "kills.questions", "kills.approvals"


async def ask(url: str, directory: Path) -> None:
    async with connect(url, answers="kills.asker") as mq9:
        for address in (QUESTIONS, APPROVALS):
            await mq9.create(address)
        file = directory / "ticket"
        if not file.exists():
            ticket = await mq9.send_approval_request(
                APPROVALS, "Deploy?", "deploy", {"version": 7}, id="approve"
            )
            file.write_text(str(ticket))
        decision = asyncio.create_task(mq9.decision(file.read_text()))
        answer = asyncio.create_task(mq9.ask(QUESTIONS, "how far?", of=str, id="ask"))
        print("asked", flush=True)
        print("answer", (await answer).body, (await decision).decision, flush=True)


async def exists(file: Path) -> bool:
    return await asyncio.to_thread(file.exists)


async def answer_one(url: str, address: str, directory: Path) -> None:
    async with connect(url) as mq9:
        async for message in mq9.group(address, "answerers"):
            async with message:
                print("got", address, flush=True)
                await wait_until_async(lambda: exists(directory / "go"))
                if address == QUESTIONS:
                    await message.reply("72%")
                else:
                    await message.decide("approve")


async def answer(url: str, directory: Path) -> None:
    await asyncio.gather(*(answer_one(url, address, directory) for address in (QUESTIONS, APPROVALS)))


if __name__ == "__main__":
    asyncio.run({"ask": ask, "answer": answer}[sys.argv[1]](sys.argv[2], Path(sys.argv[3])))
