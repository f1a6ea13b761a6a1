"""Sends messages with nats-py."""

import asyncio

from tests.support.nats_py import connect


async def send(port: int, count: int, size: int = 100, address: str = "test.a") -> list[bytes]:
    """Create a mailbox, and send messages to it at once. Returns the broker's replies."""
    client = await connect(f"nats://127.0.0.1:{port}")
    try:
        await client.request("$mq9.AI.MAILBOX.CREATE", b'{"name": "%b"}' % address.encode())
        sent = [client.request(f"$mq9.AI.MAILBOX.MSG.{address}", bytes(size)) for _ in range(count)]
        return [message.data for message in await asyncio.gather(*sent)]
    finally:
        await client.close()
