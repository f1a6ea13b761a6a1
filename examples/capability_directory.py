"""A directory of agents in one LIST: each agent has a public mailbox, its newest message is its state.

LIST without an address shows the public mailboxes. An agent that is gone leaves the directory with its TTL.
"""

import asyncio
import os
from typing import Any

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
TTL_SECONDS = 2


async def declare(client: nats.NATS, name: str, capability: str, load: float) -> None:
    """Enter an agent into the directory, or renew its entry."""
    mailbox = f"directory.{name}"
    latest_only = {"max_messages": 1, "discard": "old"}
    await ask(client, "CREATE", name=mailbox, public=True, ttl=TTL_SECONDS, desc=capability, **latest_only)
    await ask(client, f"MSG.{mailbox}", load=load)


async def directory(client: nats.NATS) -> list[dict[str, Any]]:
    """All entries, page by page."""
    page = await ask(client, "LIST", prefix="directory.", with_latest=True)
    entries = page["mailboxes"]
    while "next" in page:
        page = await ask(client, "LIST", prefix="directory.", with_latest=True, cursor=page["next"])
        entries += page["mailboxes"]
    return list(entries)


async def main() -> None:
    async with await nats.connect(URL) as client:
        await declare(client, "ann", "translation", load=0.9)
        await declare(client, "bob", "translation", load=0.2)
        await declare(client, "eve", "data analysis", load=0.0)
        found = await directory(client)
        for entry in found:
            print(f"{entry['mail_address']}: {entry['desc']}, state {entry['latest']['payload']}")
        expect(
            [entry["mail_address"][10:] for entry in found] == ["ann", "bob", "eve"], "all agents are listed"
        )
        await asyncio.sleep(TTL_SECONDS / 2)
        await declare(client, "bob", "translation", load=0.3)
        await asyncio.sleep(TTL_SECONDS / 2 + 0.7)
        (left,) = await directory(client)
        print(f"left: {left['mail_address']}, state {left['latest']['payload']}")
        expect(left["latest"]["payload"] == '{"load": 0.3}', "the directory shows the newest state")


asyncio.run(main())
