"""Mailboxes, statuses, the bulletin board, events, and errors by code."""

import asyncio
from datetime import datetime

import msgspec
import pytest

from mq9fast.client import (
    BadRequest,
    Event,
    InvalidAddress,
    MailboxConflict,
    MailboxNotFound,
    MessageNotFound,
    Mq9,
    Mq9Error,
    UnknownCommand,
)
from mq9fast.client.errors import error_of_reply
from mq9fast.client.options import MailboxOptions
from mq9fast.client.replies import read_reply
from mq9fast.mailbox.options import OptionFields
from tests.support.broker import Broker
from tests.support.client import with_client
from tests.support.waiting import wait_until_async


def test_create_renew_and_change(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        mailbox = await mq9.mailbox(address, ttl=60, desc="for tests", max_messages=5)
        assert mailbox.created is not None and mailbox.created.is_new
        assert not (await mailbox.renew()).is_new
        changed = await mq9.create(address, max_messages=3, backoff=[0.5, 2])
        assert changed.options == {"max_messages": 3, "backoff": [0.5, 2]}
        info = await mailbox.info()
        assert (info.ttl, info.desc, info.public) == (60, "for tests", False)
        generated = await mq9.mailbox(prefix="agent")
        assert generated.address.startswith("agent.") and len(generated.address) > 32

    with_client(broker.url, use)


def test_every_option_of_the_broker_is_typed() -> None:
    fields = {field.name for field in msgspec.structs.fields(OptionFields)}
    assert fields <= set(MailboxOptions.__annotations__)


def test_block_keeps_a_mailbox_alive(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        async with mq9.status(address, ttl=1, desc="a worker") as status:
            await status.set({"load": 0.1})
            await status.set({"load": 0.2})
            await asyncio.sleep(2.5)
            # Nobody wrote to it since, and it is there.
            assert (await mq9.get(address)).json() == {"load": 0.2}
            assert (await status.info()).total == 1
        with pytest.raises(MailboxNotFound):
            await wait_until_async(lambda: gone(mq9, address))
            await mq9.info(address)

    with_client(broker.url, use)


async def gone(mq9: Mq9, address: str) -> bool:
    try:
        await mq9.info(address)
    except MailboxNotFound:
        return True
    return False


def test_list_follows_pages(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        for number in range(7):
            await mq9.send(address, number)
        assert [each.json() async for each in mq9.list(address)] == list(range(7))
        assert [each.json() async for each in mq9.list(address, limit=2, newest_first=True)] == [6, 5]
        page = await mq9.page(address, limit=3)
        assert page.next is not None and page.total == 7
        meta = [each async for each in mq9.list(address, meta_only=True)]
        assert [(each.size, each.data) for each in meta] == [(1, None)] * 7
        assert (await mq9.get(address, 4)).json() == 4
        with pytest.raises(MessageNotFound):
            await mq9.get(address, 9)

    with_client(broker.url, use)


def test_find_looks_at_addresses_and_descriptions(broker: Broker) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create("find.translator", public=True, desc="Translates German contracts")
        await mq9.create("find.writer", public=True, desc="writes")
        await mq9.create("find.secret")
        await mq9.send("find.writer", {"load": 0.5})
        found = [each.mail_address async for each in mq9.find("find.")]
        assert found == ["find.translator", "find.writer"]
        assert [each.mail_address async for each in mq9.find(need="german translates")] == ["find.translator"]
        (writer,) = [each async for each in mq9.find("find.w", with_latest=True)]
        assert writer.latest is not None and writer.latest.json() == {"load": 0.5}

    with_client(broker.url, use)


def test_events(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        async with mq9.events(address, messages=True) as events:
            assert await events.next() == Event(event="absent")
            await mq9.create(address)
            await mq9.send(address, "x")
            await mq9.delete(address, 0)
            seen = [await events.next() for _ in range(3)]
        assert [each.event for each in seen] == ["created", "waiting", "settled"]
        assert seen[2].how == "deleted"

    with_client(broker.url, use)


def test_errors_are_classes(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        with pytest.raises(MailboxNotFound, match="no mailbox") as raised:
            await mq9.send(address, "x")
        assert raised.value.code == "mailbox_not_found" and raised.value.hint
        with pytest.raises(InvalidAddress):
            await mq9.create("Not.Lower.Case")
        await mq9.create(address, public=True)
        with pytest.raises(MailboxConflict):
            await mq9.create(address, public=False)
        with pytest.raises(BadRequest):
            await mq9.create(address, public=True, ttl=-1)
        with pytest.raises(BadRequest, match="time zone"):
            await mq9.send(address, "x", delay=datetime(2026, 1, 1))
        with pytest.raises(BadRequest, match="unknown name"):
            await mq9.send(address, "x", headers={"Mq9-Unknown": "x"})
        with pytest.raises(BadRequest, match="line break"):
            await mq9.send(address, "x", headers={"Tag": "a\r\nMq9-Key: b"})
        with pytest.raises(BadRequest, match="more than the broker takes"):
            await mq9.send(address, bytes(2_000_000))
        for wrong in ("with blank", "", "a..b", "a.>", "a 5\r\nPUB b"):
            for call in (mq9.send(wrong, "x"), mq9.info(wrong), mq9.delete(wrong, 0)):
                with pytest.raises(InvalidAddress):
                    await call
            with pytest.raises(InvalidAddress):
                mq9.group(wrong, "g")
        with pytest.raises(BadRequest, match="name of a group"):
            mq9.group(address, "a b")
        with pytest.raises(BadRequest, match="name of a header"):
            await mq9.send(address, "x", headers={"a\r\nb": "c"})
        with pytest.raises(Mq9Error, match="no address yet"):
            _ = mq9.mailbox().address

    with_client(broker.url, use)


def test_unknown_codes_and_replies() -> None:
    assert isinstance(error_of_reply("What?", "unknown_command"), UnknownCommand)
    error = error_of_reply("Later.", "brand_new")
    assert type(error) is Mq9Error and error.code == "brand_new"
    with pytest.raises(Mq9Error, match="could not be read"):
        read_reply(b"no JSON", Event)


def test_misspelt_option(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        with pytest.raises(BadRequest, match="'max_mesages': did you mean 'max_messages'"):
            await mq9.create(address, max_mesages=1)  # type: ignore[call-arg]

    with_client(broker.url, use)
