"""Read a mailbox without subscribing: LIST returns one page at a time, in the order of delivery.

LIST changes nothing. A page has `next` only if more messages follow; send it back as `cursor`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")


async def pages(client: nats.NATS, address: str, size: int) -> AsyncIterator[list[dict[str, Any]]]:
    page = await ask(client, f"LIST.{address}", limit=size)
    yield page["messages"]
    while "next" in page:
        page = await ask(client, f"LIST.{address}", limit=size, cursor=page["next"])
        yield page["messages"]


async def main() -> None:
    seen = []
    async with await nats.connect(URL) as client:
        address = (await ask(client, "CREATE", prefix="archive", ttl=60))["mail_address"]
        for n in range(25):
            priority = "urgent" if n % 10 == 9 else "normal"
            await client.request(
                f"$mq9.AI.MAILBOX.MSG.{address}.{priority}", b"note %d" % n, headers={"Author": "agent"}
            )
        async for messages in pages(client, address, size=10):
            print(
                f"{len(messages)} messages, the first: {messages[0]['payload']} ({messages[0]['priority']})"
            )
            seen += messages
        left = await ask(client, f"LIST.{address}", limit=1)
    expect([message["msg_id"] for message in seen[:2]] == [9, 19], "urgent messages are listed first")
    expect(sorted(message["msg_id"] for message in seen) == list(range(25)), "each message is on one page")
    expect(all(message["headers"] == {"Author": "agent"} for message in seen), "headers are listed as sent")
    expect(left["total"] == 25, "LIST deletes nothing")


asyncio.run(main())
