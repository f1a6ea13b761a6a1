"""A monitor sends alerts to all handlers. A handler that restarts meanwhile gets the alerts afterwards.

The monitor knows the name of the mailbox; it does not know the handlers that read it.
"""

import asyncio
import json
import os
import uuid

import nats
from mq9 import ask, delete_all, expect

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
ALERTS = "alert.payment"


async def raise_alert(priority: str, detail: str) -> None:
    async with await nats.connect(URL) as monitor:
        await ask(monitor, f"MSG.{ALERTS}.{priority}", level=priority, detail=detail)
        print(f"[monitor] {priority}: {detail}")


async def read(client: nats.NATS, name: str, count: int) -> list[str]:
    """Read alerts without deleting them, so that the other handlers get them too."""
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
        await delete_all(first, ALERTS)
        online = [
            asyncio.create_task(read(client, name, 2))
            for client, name in ((first, "handler-a"), (second, "handler-b"))
        ]
        await asyncio.sleep(0.2)
        # handler-c restarts now, so it has no subscription.
        await raise_alert("normal", slow)
        await raise_alert("critical", spike)
        for task in online:
            expect(await task == [slow, spike], "every handler that is online gets every alert")
    async with await nats.connect(URL) as third:
        late = await read(third, "handler-c", 2)
        await delete_all(third, ALERTS)
    expect(late == [spike, slow], "a handler that was offline gets every alert too, the critical one first")


asyncio.run(main())
