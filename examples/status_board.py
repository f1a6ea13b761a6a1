"""A board with the latest status of each worker, in one mailbox: one LIST shows all of it.

Each report has the key of its worker (`Mq9-Key`) and replaces the worker's report before. So the board has
one message for each worker, however often they report, and nobody deletes anything. `max_age` removes the
status of a worker that is gone.
"""

import asyncio
import json
import os
from typing import Any

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
WORKERS = [f"worker-{n:02}" for n in range(20)]
REPORTS = 10
MAX_AGE_SECONDS = 4


async def work(board: str, name: str, reports: int) -> None:
    async with await nats.connect(URL) as client:
        for n in range(reports):
            await ask(client, f"MSG.{board}", headers={"Mq9-Key": name}, done=f"{100 * (n + 1) // reports} %")


async def read_board(client: nats.NATS, board: str) -> dict[str, Any]:
    """The status of each worker, from all pages: a board of this size needs one."""
    page = await ask(client, f"LIST.{board}")
    found = {entry["key"]: json.loads(entry["payload"]) for entry in page["messages"]}
    while "next" in page:
        page = await ask(client, f"LIST.{board}", cursor=page["next"])
        found |= {entry["key"]: json.loads(entry["payload"]) for entry in page["messages"]}
    return found


async def main() -> None:
    async with await nats.connect(URL) as supervisor:
        created = await ask(supervisor, "CREATE", prefix="board", ttl=60, max_age=MAX_AGE_SECONDS)
        board = created["mail_address"]
        await asyncio.gather(*(work(board, name, REPORTS) for name in WORKERS))
        statuses = await read_board(supervisor, board)
        print(f"[supervisor] {len(statuses)} workers, worker-07 has done {statuses['worker-07']['done']}")
        expect(
            statuses == {name: {"done": "100 %"} for name in WORKERS},
            "the board has the latest status of each",
        )
        (one,) = (await ask(supervisor, f"LIST.{board}", key="worker-07"))["messages"]
        expect(one["key"] == "worker-07", "LIST finds the status of one worker")

        await asyncio.sleep(MAX_AGE_SECONDS / 2)
        await work(board, "worker-00", 1)
        await asyncio.sleep(MAX_AGE_SECONDS / 2 + 1)
        statuses = await read_board(supervisor, board)
        print("[supervisor] still there:", ", ".join(statuses))
        expect(list(statuses) == ["worker-00"], "the status of a worker that reports no more expires")


asyncio.run(main())
