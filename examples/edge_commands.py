"""The cloud commands a device that is offline. When it is back, the emergency stop comes before the routine.

Three priorities in one mailbox: critical, urgent, and normal, oldest first within each.
"""

import asyncio
import json
import os

import nats
from mq9 import ask, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")


async def register() -> str:
    """The device opens its mailbox, tells the cloud its address, and loses the network."""
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
    expect(listed["total"] == 4, "commands wait in the mailbox of a device that is offline")


async def obey(address: str) -> list[str]:
    """The device is back. It answers each command when it has carried it out."""
    async with await nats.connect(URL) as device:
        inbox = await device.subscribe(f"$mq9.AI.MAILBOX.MSG.{address}")
        obeyed = []
        for _ in range(4):
            message = await inbox.next_msg(timeout=3)
            obeyed.append(json.loads(message.data)["command"])
            print("[device] does", obeyed[-1])
            await message.respond(b"")
        left = await ask(device, f"LIST.{address}")
        expect(left["total"] == 0, "a command that was answered is gone")
    return obeyed


async def main() -> None:
    address = await register()
    await command(address)
    obeyed = await obey(address)
    expect(
        obeyed == ["emergency_stop", "update_config", "report_status", "rotate_logs"],
        "critical comes first, then urgent, then normal in the order in which it was sent",
    )


asyncio.run(main())
