"""Commands for later: one is delivered when it is due, one is cancelled in time, and one becomes stale.

The broker stores and acknowledges a delayed command at once, so neither the sender nor the device has to be
online when it is due. DELETE cancels it. `Nats-TTL` ends the life of a command that only makes sense soon.
"""

import asyncio
import datetime
import json
import os
import time

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
DELAY_SECONDS = 1.5
OFFLINE_SECONDS = 2.5


async def schedule(device: str) -> None:
    async with await nats.connect(URL) as cloud:
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=DELAY_SECONDS)
        for command, headers in (
            ("open the door", {"Nats-TTL": "1"}),  # nobody wants this later than in a second
            ("restart", {"Mq9-Delay": f"{DELAY_SECONDS}"}),
            ("update", {"Mq9-Deliver-At": at.isoformat()}),
        ):
            stored = await ask(cloud, f"MSG.{device}", headers=headers, command=command)
            print(f"[cloud] sends {command!r}: {stored}")
        mistake = await ask(cloud, f"MSG.{device}", headers={"Mq9-Delay": "1h30m"}, command="self-destruct")
        listed = await ask(cloud, f"LIST.{device}", msg_id=mistake["msg_id"])
        expect(listed["messages"][0]["deliver_at"] > time.time() + 5000, "LIST shows when it is due")
        cancelled = await ask(cloud, f"DELETE.{device}.{mistake['msg_id']}")
        expect(cancelled == {"deleted": True}, "a delayed command can be cancelled")
        print("[cloud] has cancelled one of them, and goes offline")


async def execute(device: str, count: int) -> list[str]:
    async with await nats.connect(URL) as client:
        inbox = await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{device}")
        executed = []
        for _ in range(count):
            message = await inbox.next_msg(timeout=10)
            executed.append(json.loads(message.data)["command"])
            print(f"[device] executes {executed[-1]!r}")
            await message.respond(b"")
        left = await ask(client, f"LIST.{device}")
        expect(left["total"] == 0, "a cancelled command is gone, and so is a stale one")
    return executed


async def main() -> None:
    async with await nats.connect(URL) as client:
        device = (await ask(client, "CREATE", prefix="device", ttl=60))["mail_address"]
    began = time.monotonic()
    await schedule(device)
    print("[device] is offline")
    await asyncio.sleep(OFFLINE_SECONDS)
    async with await nats.connect(URL) as cloud:
        await ask(cloud, f"MSG.{device}.urgent", headers={"Mq9-Delay": "500ms"}, command="report")
    executed = await execute(device, 3)
    expect(
        sorted(executed[:2]) == ["restart", "update"], "commands that were due while the device was offline"
    )
    expect(executed[2:] == ["report"], "a command that is due later comes to a device that is online")
    expect(time.monotonic() - began >= OFFLINE_SECONDS + 0.5, "no command comes early")


asyncio.run(main())
