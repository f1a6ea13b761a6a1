"""A draining client loses nothing: it receives what was sent to it, and other members receive the rest."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.broker import Broker
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS, wait_until_async
from tests.support.wire_client import MAILBOX, Wire

COUNT = 2000
Handler = Callable[[Msg], Awaitable[None]]


def recording(seen: Counter[bytes], *, began: asyncio.Event | None = None, answer: bool = False) -> Handler:
    async def handle(message: Msg) -> None:
        seen[message.data] += 1
        if began is not None:
            began.set()
        await asyncio.sleep(0)
        if answer:
            await message.respond(b"")

    return handle


async def publish(client: Client, subject: str, first: int, count: int) -> None:
    for number in range(first, first + count):
        await client.publish(subject, b"%d" % number)
    await client.flush()


@pytest.fixture
def url(broker: Broker) -> str:
    return broker.url


def test_draining_subscriber_receives_everything_sent_before(url: str) -> None:
    async def run() -> None:
        seen: Counter[bytes] = Counter()
        reader, sender = await connect(url), await connect(url)
        await reader.subscribe("drain.plain", cb=recording(seen))
        await reader.flush()
        await publish(sender, "drain.plain", 0, COUNT)
        await reader.drain()
        assert seen == Counter(b"%d" % number for number in range(COUNT))
        # There is no subscriber any more: the sender gets no responders.
        with pytest.raises(nats.errors.NoRespondersError):
            await sender.request("drain.plain")
        await sender.close()

    asyncio.run(run())


def test_draining_member_leaves_the_rest_to_other_members(url: str) -> None:
    async def run() -> None:
        seen = [Counter[bytes](), Counter[bytes]()]
        members = [await connect(url) for _ in seen]
        sender = await connect(url)
        for member, counter in zip(members, seen, strict=True):
            await member.subscribe("drain.group", "workers", cb=recording(counter))
            await member.flush()
        await publish(sender, "drain.group", 0, COUNT // 2)
        sending = asyncio.create_task(publish(sender, "drain.group", COUNT // 2, COUNT // 2))
        await members[0].drain()
        await sending
        await members[1].drain()
        assert all(seen)
        assert sum(seen, Counter[bytes]()) == Counter(b"%d" % number for number in range(COUNT))
        await sender.close()

    asyncio.run(run())


def test_draining_worker_of_a_mailbox_loses_no_message(url: str, address: str) -> None:
    """Other members receive its unanswered messages. Messages it answers while draining are deleted."""

    async def run() -> None:
        seen = [Counter[bytes](), Counter[bytes]()]
        members = [await connect(url) for _ in seen]
        sender = await connect(url)
        await sender.request(MAILBOX + "CREATE", b'{"name":"%s"}' % address.encode())
        began = asyncio.Event()
        for member, counter in zip(members, seen, strict=True):
            handle = recording(counter, began=began if counter is seen[0] else None, answer=True)
            await member.subscribe(f"{MAILBOX}MSG.{address}", "workers", cb=handle)
            await member.flush()
        await publish(sender, f"{MAILBOX}MSG.{address}", 0, COUNT)
        await asyncio.wait_for(began.wait(), WAIT_SECONDS)
        await members[0].drain()

        async def all_deleted() -> bool:
            listed = await sender.request(f"{MAILBOX}LIST.{address}", b'{"limit":1}')
            return b'"total":0' in listed.data

        await wait_until_async(all_deleted)
        await members[1].drain()
        assert all(seen)
        assert set(seen[0]) | set(seen[1]) == {b"%d" % number for number in range(COUNT)}
        await sender.close()

    asyncio.run(run())


def test_drained_subscriber_of_a_mailbox_can_read_it_all_again(url: str, address: str) -> None:
    async def run() -> None:
        sender = await connect(url)
        await sender.request(MAILBOX + "CREATE", b'{"name":"%s"}' % address.encode())
        await publish(sender, f"{MAILBOX}MSG.{address}", 0, COUNT)
        for _ in range(2):
            seen: Counter[bytes] = Counter()
            reader = await connect(url)
            began = asyncio.Event()
            subscription = await reader.subscribe(f"{MAILBOX}MSG.{address}", cb=recording(seen, began=began))
            await asyncio.wait_for(began.wait(), WAIT_SECONDS)
            await subscription.drain()
            early = list(seen)
            assert early == [b"%d" % number for number in range(len(early))]
            await reader.close()
        await sender.close()

    asyncio.run(run())


@pytest.mark.parametrize("queue", ["", "workers"])
def test_after_unsub_only_messages_sent_before_it_arrive(broker: Broker, queue: str) -> None:
    with Wire(broker.port) as reader, Wire(broker.port) as sender:
        reader.sub("drain.raw", "1", queue)
        reader.ping()
        sender.send(b"PUB drain.raw 5\r\nfirst\r\n" * COUNT)
        sender.ping()
        reader.send("UNSUB 1\r\n")
        reader.ping()
        assert len(reader.received) == COUNT
        sender.pub("drain.raw", "late")
        sender.ping()
        reader.ping()
        assert len(reader.received) == COUNT
