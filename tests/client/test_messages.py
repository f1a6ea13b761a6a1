"""Messages, as a member of a group sees them: held until they are settled, and what becomes of them then."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from mq9fast.client import GiveBack, InvalidBody, LimitExceeded, MessagesDropped, Mq9, Reject, Sent, TimedOut
from tests.support.broker import Broker
from tests.support.client import connect, with_client
from tests.support.waiting import WAIT_SECONDS

SOON = 0.3


class Task(msgspec.Struct):
    name: str
    tries: int = 1


def test_most_urgent_message_comes_first_and_is_deleted_by_its_block(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        inbox = await mq9.mailbox(address)
        assert await inbox.send("normal") == Sent(msg_id=0)
        await inbox.send("urgent", priority="urgent")
        seen = []
        async for message in inbox:
            async with message:
                seen.append((message.text, message.priority, message.msg_id))
            if len(seen) == 1:
                # It came after the one that is delivered, and is more urgent than the one that waits.
                await inbox.send("critical", priority="critical")
            if len(seen) == 3:
                break
        assert seen == [("urgent", "urgent", 1), ("critical", "critical", 2), ("normal", "normal", 0)]
        assert (await inbox.info()).total == 0

    with_client(broker.url, use)


def test_message_of_a_block_that_raises_comes_again(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        inbox = await mq9.mailbox(address)
        await inbox.send("task")
        with pytest.raises(ZeroDivisionError):
            async with await inbox.next():
                raise ZeroDivisionError
        message = await inbox.next()
        assert message.deliveries == 2
        async with message:
            raise GiveBack
        assert (await inbox.next()).deliveries == 3

    with_client(broker.url, use)


def test_member_that_pauses_leaves_messages_to_others_and_keeps_what_it_holds(
    broker: Broker, address: str
) -> None:
    async def use(mq9: Mq9) -> None:
        inbox = await mq9.mailbox(address)
        await inbox.send("held")
        member, other = inbox.group("workers"), inbox.group("workers")
        held = await member.next()
        with pytest.raises(TimedOut):
            await member.next(SOON)
        await member.pause()
        await inbox.send("for the other")
        message = await other.next(WAIT_SECONDS)
        assert (message.text, message.deliveries) == ("for the other", 1)
        await held.done()
        await message.done()
        await inbox.send("for both")
        assert (await member.next(WAIT_SECONDS)).text == "for both"
        assert [each.text async for each in inbox.list()] == ["for both"]

    with_client(broker.url, use)


def test_give_back_with_a_delay(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        inbox = await mq9.mailbox(address)
        await inbox.send("task")
        async with await inbox.next():
            raise GiveBack(delay=0.5)
        with pytest.raises(TimedOut):
            await inbox.next(timeout=0.2)
        assert (await inbox.next()).deliveries == 2

    with_client(broker.url, use)


def test_rejected_message_becomes_a_dead_letter_with_the_reason(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        inbox = await mq9.mailbox(address, of=Task, dead_letter=f"{address}.dead")
        await inbox.send("no JSON")
        await inbox.send(Task("build"))
        async with await inbox.next():
            raise Reject("nobody can\r\ndo it")
        async with await inbox.next() as message:
            assert message.body == Task("build", 1)
        await inbox.send("no JSON again")
        async with await inbox.next() as message:
            # Reading a body that is none is a reason to reject, and ends nothing.
            assert message.body
        dead = [each async for each in mq9.list(f"{address}.dead")]
        assert [each.text for each in dead] == ["no JSON", "no JSON again"]
        assert dead[0].headers["Mq9-Dead-Text"] == "nobody can do it"
        assert "not what is expected" in str(dead[1].headers["Mq9-Dead-Text"])

    with_client(broker.url, use)


def test_members_share_and_hold_one_message_each(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        for number in range(4):
            await mq9.send(address, number)
        first, second = mq9.group(address, "g"), mq9.group(address, "g")
        held = [await first.next(), await second.next(), await first.next()]
        assert [message.body for message in held] == [0, 1, 2]
        await first.close()
        # What it had and did not settle goes to the other one.
        assert sorted([(await second.next()).body for _ in range(3)]) == [0, 2, 3]

    with_client(broker.url, use)


def test_prefetch_holds_several(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        for number in range(5):
            await mq9.send(address, number)
        async with mq9.group(address, "g", prefetch=3) as group:
            assert (await group.next()).body == 0
            (info,) = (await mq9.info(address)).groups
            assert (info.in_flight, info.waiting) == (3, 2)

    with_client(broker.url, use)


def test_many_tasks_may_wait_for_messages_of_one_member(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        group = mq9.group(address, "g")
        waiting = [asyncio.create_task(group.next()) for _ in range(5)]
        await asyncio.sleep(0)
        for number in range(5):
            await mq9.send(address, number)
        assert sorted([(await each).body for each in waiting]) == [0, 1, 2, 3, 4]

    with_client(broker.url, use)


def test_block_renews_the_time_of_a_message(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address, ack_wait=0.5)
        await mq9.send(address, "long task")
        async with mq9.group(address, "g") as worker, mq9.group(address, "g") as other:
            async with await worker.next(WAIT_SECONDS) as message:
                with pytest.raises(TimedOut):
                    await other.next(timeout=1.5)
                await message.reply("done")
            assert (await mq9.info(address)).total == 0
            await mq9.send(address, "hangs")
            # `other` still waits, so it gets it. Outside of a block nothing renews it.
            hung = await other.next(WAIT_SECONDS)
            assert (await worker.next(WAIT_SECONDS)).msg_id == hung.msg_id

    with_client(broker.url, use)


def test_time_of_prefetched_messages_is_renewed(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address, ack_wait=0.5, max_in_flight=2)
        for number in range(2):
            await mq9.send(address, number)
        async with mq9.group(address, "g", prefetch=2) as group:
            async with await group.next() as message:
                await asyncio.sleep(1.5)
            async with await group.next() as second:
                assert (message.body, second.body, second.deliveries) == (0, 1, 1)

    with_client(broker.url, use)


def test_watcher_that_does_not_read_gets_an_error(
    broker: Broker, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mq9fast.client.stream.MAX_WATCHED_BYTES", 1000)

    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        async with mq9.watch(address) as watcher:
            for _ in range(3):
                await mq9.send(address, bytes(400))
            assert len([await watcher.next() for _ in range(2)]) == 2
            with pytest.raises(MessagesDropped):
                await watcher.next()
        assert (await mq9.info(address)).total == 3

    with_client(broker.url, use)


def test_watcher_gets_what_others_receive(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        inbox = await mq9.mailbox(address)
        await inbox.send("stored")
        async with inbox.watch() as watcher:
            assert (await watcher.next()).text == "stored"
            await inbox.send("live")
            async with await inbox.next(), await inbox.next():
                pass
            assert (await watcher.next()).text == "live"

    with_client(broker.url, use)


def test_options_of_a_message(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address, max_messages=4)
        assert await mq9.send(address, "a", id="1") == Sent(msg_id=0)
        assert await mq9.send(address, "a", id="1") == Sent(msg_id=0, duplicate=True)
        await mq9.send(address, "old", key="k", headers={"Tag": "x"})
        await mq9.send(address, "new", key="k", ttl=1.5)
        assert (await mq9.get(address, key="k")).text == "new"
        due = datetime.now(timezone.utc) + timedelta(hours=1)
        for delay in (3600, due):
            sent = await mq9.send(address, "later", delay=delay)
            assert sent.deliver_at is not None and abs(sent.deliver_at - due.timestamp()) < 60
        with pytest.raises(LimitExceeded):
            await mq9.send(address, "too much")
        assert await mq9.delete(address, sent.msg_id)
        assert not await mq9.delete(address, sent.msg_id)

    with_client(broker.url, use)


def test_sender_is_proved(start_broker: Callable[..., Broker], address: str) -> None:
    broker = start_broker("--user", "planner", "--password", "secret")

    async def use(mq9: Mq9) -> None:
        inbox = await mq9.mailbox(address)
        await inbox.send("task", headers={"Mq9-From": "the boss"})
        assert (await inbox.next()).sender == "planner"
        assert [each.sender async for each in inbox.list()] == ["planner"]

    with_client(broker.url, use, user="planner", password="secret")


def test_bodies(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        for body in (b"\xff", "text", None, Task("x"), {"a": [1]}):
            await mq9.send(address, body)
        data = [each.data async for each in mq9.list(address)]
        assert data == [b"\xff", b"text", b"", b'{"name":"x","tries":1}', b'{"a":[1]}']
        with pytest.raises(InvalidBody, match="cannot be encoded"):
            await mq9.send(address, object())
        async with mq9.group(address, "g", of=bytes) as group:
            assert (await group.next()).body == b"\xff"
        async with mq9.group(address, "h", of=str) as texts:
            with pytest.raises(InvalidBody):
                _ = (await texts.next()).body
            assert (await texts.next()).body == "text"

    with_client(broker.url, use)


def test_closed_client_ends_iterators(broker: Broker, address: str) -> None:
    async def run() -> None:
        async with connect(broker.url) as mq9:
            await mq9.create(address)

            async def read() -> int:
                return len([message async for message in mq9.group(address, "g")])

            reading = asyncio.create_task(read())
            await asyncio.sleep(SOON)
        assert await asyncio.wait_for(reading, WAIT_SECONDS) == 0

    asyncio.run(run())
