"""The cloud sends commands to a device that is offline. When it reconnects, it gets the emergency stop first.

One mailbox has three priorities: critical, urgent and normal. Within a priority, the oldest message is first.
"""

import asyncio
import json
import os

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")


async def register() -> str:
    """The device creates its mailbox, gives the cloud the address, and loses the network."""
    async with await nats.connect(URL) as device:
        mailbox = await ask(device, "CREATE", prefix="edge", ttl=60)
    print("[device] registered as", mailbox["mail_address"])
    return mailbox["mail_address"]


async def command(address: str) -> None:
    async with await nats.connect(URL) as cloud:
        await ask(cloud, f"MSG.{address}", command="report_status")
        await ask(cloud, f"MSG.{address}.urgent", command="update_config", interval=30)
        await ask(cloud, f"MSG.{address}", command="rotate_logs")
        await ask(cloud, f"MSG.{address}.critical", command="emergency_stop", reason="too hot")
        listed = await ask(cloud, f"LIST.{address}")
    print(f"[cloud] {listed['total']} commands wait for the device")
    expect(listed["total"] == 4, "the mailbox keeps the commands while the device is offline")


async def execute(address: str) -> list[str]:
    """The device reconnects. It answers each command after it has executed it."""
    async with await nats.connect(URL) as device:
        inbox = await device.subscribe(f"$mq9.AI.MAILBOX.MSG.{address}")
        executed = []
        for _ in range(4):
            message = await inbox.next_msg(timeout=3)
            executed.append(json.loads(message.data)["command"])
            print("[device] executes", executed[-1])
            await message.respond(b"")
        left = await ask(device, f"LIST.{address}")
        expect(left["total"] == 0, "an answer deletes the command")
    return executed


async def main() -> None:
    address = await register()
    await command(address)
    executed = await execute(address)
    expect(
        executed == ["emergency_stop", "update_config", "report_status", "rotate_logs"],
        "critical commands come first, then urgent ones, then normal ones, each in the order of sending",
    )


asyncio.run(main())
