"""A monitor raises an alert for whoever listens. A handler that restarts meanwhile gets it afterwards.

The monitor knows the name of the mailbox, not who reads it.
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import ask, discard_all, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
ALERTS = "alert.payment"


async def raise_alert(priority: str, detail: str) -> None:
    async with await nats.connect(URL) as monitor:
        await ask(monitor, f"MSG.{ALERTS}.{priority}", level=priority, detail=detail)
        print(f"[monitor] {priority}: {detail}")


async def read(client: nats.NATS, name: str, count: int) -> list[str]:
    """Read alerts and leave them for the others: they stay until they are deleted or expire."""
    inbox = await client.subscribe(f"$mq9.AI.MAILBOX.MSG.{ALERTS}")
    details = []
    for _ in range(count):
        alert = json.loads((await inbox.next_msg(timeout=3)).data)
        details.append(alert["detail"])
        print(f"[{name}] {alert['level']}: {alert['detail']}")
    return details


async def main() -> None:
    run = uuid.uuid4().hex[:6]
    slow, spike = f"payments are slow ({run})", f"15% of payments time out ({run})"
    async with await nats.connect(URL) as first, await nats.connect(URL) as second:
        await ask(first, "CREATE", name=ALERTS, public=True, ttl=60, desc="payment alerts")
        await discard_all(first, ALERTS)
        online = [
            asyncio.create_task(read(client, name, 2))
            for client, name in ((first, "handler-a"), (second, "handler-b"))
        ]
        await asyncio.sleep(0.2)
        # handler-c is restarting now.
        await raise_alert("normal", slow)
        await raise_alert("critical", spike)
        for task in online:
            expect(await task == [slow, spike], "every handler that listens gets every alert, as it comes")
    async with await nats.connect(URL) as third:
        late = await read(third, "handler-c", 2)
        await discard_all(third, ALERTS)
    expect(late == [spike, slow], "a handler that was away gets every alert too, the critical one first")


asyncio.run(main())
