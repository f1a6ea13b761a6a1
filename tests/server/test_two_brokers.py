"""Two brokers in one process share nothing."""

import asyncio
import json
from pathlib import Path

from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker
from tests.support.nats_py import connect
from tests.support.wire_client import MAILBOX


async def use_both(directory: Path) -> None:
    settings = [Settings(port=0, monitor_port=-1, data_dir=str(directory / name)) for name in ("a", "b")]
    brokers = [Broker(each) for each in settings]
    for broker in brokers:
        await broker.start()
    clients = [await connect(f"nats://127.0.0.1:{broker.address[1]}") for broker in brokers]
    for client, payload in zip(clients, (b"to a", b"to b"), strict=True):
        await client.request(MAILBOX + "CREATE", b'{"name": "same"}')
        await client.request(MAILBOX + "MSG.same", payload)
    for client, payload in zip(clients, ("to a", "to b"), strict=True):
        listed = json.loads((await client.request(MAILBOX + "LIST.same", b"")).data)
        assert [message["payload"] for message in listed["messages"]] == [payload]
    for client in clients:
        await client.close()
    for broker in brokers:
        await broker.stop()


def test_two_brokers_share_nothing(tmp_path: Path) -> None:
    asyncio.run(use_both(tmp_path))
