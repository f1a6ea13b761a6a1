"""A mailbox past its deadline is invisible, even before the broker has removed it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from mq9fast.config.settings import Settings
from mq9fast.server.broker import Broker
from mq9fast.storage.rocks import RocksStore
from mq9fast.storage.store import OpenStore
from tests.support.faults.store import Faults
from tests.support.waiting import wait_until_async
from tests.support.wire_client import MAILBOX

Case = Callable[[Broker, Client], Awaitable[None]]
# The TTL of all mailboxes here, in seconds. The tests move the clock instead of waiting.
TTL = 60


@asynccontextmanager
async def broker_without_expiry(
    data_dir: Path, open_store: OpenStore, **settings: Any
) -> AsyncIterator[tuple[Broker, Client]]:
    """A broker whose clock does not tick, and a client of it."""
    own = Settings(port=0, monitor_port=-1, sync="never", data_dir=str(data_dir), **settings)
    broker = Broker(own, open_store)
    await broker.start()
    broker.housekeeping.stop()
    client = await nats.connect(f"nats://127.0.0.1:{broker.address[1]}")
    try:
        yield broker, client
    finally:
        await client.close()
        await broker.stop()


def run(data_dir: Path, case: Case, open_store: OpenStore = RocksStore, **settings: Any) -> None:
    async def go() -> None:
        async with broker_without_expiry(data_dir, open_store, **settings) as (broker, client):
            await case(broker, client)

    asyncio.run(go())


async def ask(client: Client, command: str, **fields: Any) -> dict[str, Any]:
    reply = await client.request(MAILBOX + command, json.dumps(fields).encode(), timeout=30)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def move_past_deadlines(broker: Broker) -> None:
    """Move the time past the deadlines of all mailboxes."""
    time = broker.engine.time
    time.start(time.now_ms + (TTL + 1) * 1000, time.wall_ms(time.now_ms) + (TTL + 1) * 1000)
    broker.engine.resume_expiry()


async def subscribe(client: Client, address: str, queue: str = "", tail: str = "") -> list[Msg]:
    """Subscribe. Returns the list to which arriving messages are added."""
    got: list[Msg] = []

    async def take(message: Msg) -> None:
        got.append(message)

    await client.subscribe(f"{MAILBOX}MSG.{address}{tail}", queue=queue, cb=take)
    return got


async def settle(client: Client) -> None:
    """Wait until all replies and deliveries have arrived."""
    for _ in range(3):
        await client.flush(30)
        await asyncio.sleep(0)


async def has_message(broker: Broker) -> bool:
    return broker.mailboxes.mailbox_index.message_count > 0


def test_subscription_does_not_replay_an_overdue_mailbox(tmp_path: Path) -> None:
    async def case(broker: Broker, client: Client) -> None:
        await ask(client, "CREATE", name="old", ttl=TTL)
        for n in range(3):
            await ask(client, "MSG.old", n=n)
        move_past_deadlines(broker)
        plain, grouped = await subscribe(client, "old"), await subscribe(client, "old", "group")
        await settle(client)
        assert (plain, grouped) == ([], [])
        # Both subscriptions receive the messages of the mailbox that is created next.
        assert (await ask(client, "CREATE", name="old"))["is_new"]
        await ask(client, "MSG.old", new=True)
        await settle(client)
        assert [json.loads(m.data) for m in plain] == [json.loads(m.data) for m in grouped] == [{"new": True}]

    run(tmp_path / "data", case)


def test_queue_group_does_not_redeliver_from_an_overdue_mailbox(tmp_path: Path) -> None:
    async def case(broker: Broker, client: Client) -> None:
        await ask(client, "CREATE", name="old", ttl=TTL)
        first: list[Msg] = []

        async def hold(message: Msg) -> None:
            first.append(message)

        leaving = await client.subscribe(MAILBOX + "MSG.old", queue="group", cb=hold)
        for n in range(3):
            await ask(client, "MSG.old", n=n)
        await settle(client)
        assert len(first) == 3
        move_past_deadlines(broker)
        # Before the deadline, the other member would receive what is refused or returned now.
        second = await subscribe(client, "old", "group")
        await first[0].respond(b"-NAK")
        await leaving.unsubscribe()
        await settle(client)
        assert len(first) == 3
        assert second == []

    run(tmp_path / "data", case)


def test_commands_do_not_find_an_overdue_mailbox(tmp_path: Path) -> None:
    async def case(broker: Broker, client: Client) -> None:
        await ask(client, "CREATE", name="old", ttl=TTL)
        await ask(client, "MSG.old", n=0)
        move_past_deadlines(broker)
        for command in ("MSG.old", "LIST.old", "DELETE.old.0"):
            assert (await ask(client, command))["code"] == "mailbox_not_found"
        assert (await ask(client, "CREATE", name="old", public=True))["is_new"]
        assert (await ask(client, "LIST.old"))["total"] == 0

    run(tmp_path / "data", case)


def test_message_that_becomes_durable_after_the_deadline_is_not_delivered(tmp_path: Path) -> None:
    faults = Faults()

    async def case(broker: Broker, client: Client) -> None:
        await ask(client, "CREATE", name="old", ttl=TTL)
        got = await subscribe(client, "old")
        await settle(client)
        # The commit group with the message waits for the store, and the deadline passes meanwhile.
        faults.write_stalled = True
        sent = asyncio.ensure_future(ask(client, "MSG.old", n=0))
        await wait_until_async(lambda: has_message(broker))
        move_past_deadlines(broker)
        faults.write_stalled = False
        assert await sent == {"msg_id": 0}
        await settle(client)
        assert got == []

    run(tmp_path / "data", case, faults.open)


def test_overdue_mailboxes_do_not_count_toward_max_mailboxes(tmp_path: Path) -> None:
    async def case(broker: Broker, client: Client) -> None:
        for n in range(3):
            await ask(client, "CREATE", name=f"old{n}", ttl=TTL)
        assert (await ask(client, "CREATE", name="new"))["code"] == "limit_exceeded"
        move_past_deadlines(broker)
        assert (await ask(client, "CREATE", name="new"))["is_new"]

    run(tmp_path / "data", case, max_mailboxes=3)
