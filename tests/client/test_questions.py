"""Questions, answers, tickets and approvals."""

import asyncio

import msgspec
import pytest

from mq9fast.client import (
    InvalidBody,
    InvalidTicket,
    MailboxNotFound,
    Mq9,
    NoAnswer,
    NoAnswerYet,
    Reject,
    Ticket,
)
from tests.support.broker import Broker
from tests.support.client import connect, with_client
from tests.support.waiting import wait_until_async


class Sum(msgspec.Struct):
    total: int


async def answer_all(mq9: Mq9, address: str) -> None:
    async for message in mq9.group(address, "answerers"):
        async with message:
            await message.reply(Sum(sum(message.json())))


def test_ask_and_answer(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        async with connect(broker.url) as other:
            answering = asyncio.create_task(answer_all(other, address))
            answers = await asyncio.gather(*(mq9.ask(address, [n, 1], of=Sum) for n in range(20)))
            assert [answer.body.total for answer in answers] == [n + 1 for n in range(20)]
            assert answers[3].headers["Mq9-In-Reply-To"] == answers[3].ticket.question
            answering.cancel()
        # Neither answers nor receipts are left behind.
        await wait_until_async(lambda: is_empty(mq9, answers[0].address))

    with_client(broker.url, use)


async def is_empty(mq9: Mq9, address: str) -> bool:
    return (await mq9.info(address)).total == 0


@pytest.mark.parametrize("has_ticket", [False, True])
def test_mailbox_for_answers_stays_only_for_tickets(broker: Broker, address: str, has_ticket: bool) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        answering = asyncio.create_task(answer_all(mq9, address))
        found.append((await mq9.ask(address, [1])).address)
        answering.cancel()
        if has_ticket:
            await mq9.send_question(address, [2])

    async def look(mq9: Mq9) -> None:
        if has_ticket:
            assert (await mq9.info(found[0])).ttl > 1
        else:
            await wait_until_async(lambda: is_gone(mq9, found[0]))

    found: list[str] = []
    with_client(broker.url, use)
    with_client(broker.url, look)


async def is_gone(mq9: Mq9, address: str) -> bool:
    try:
        await mq9.info(address)
    except MailboxNotFound:
        return True
    return False


def test_ticket_gets_the_answer_later(broker: Broker, address: str) -> None:
    async def ask(mq9: Mq9) -> None:
        await mq9.create(address)
        tickets.append(str(await mq9.send_question(address, [1, 2])))
        with pytest.raises(NoAnswerYet) as raised:
            await mq9.ask(address, [3, 4], timeout=0.1)
        tickets.append(raised.value.ticket)
        assert Ticket.parse(tickets[1]).msg_id == 1

    async def read(mq9: Mq9) -> None:
        for ticket, total in zip(tickets, (3, 7), strict=True):
            assert (await mq9.answer(ticket, of=Sum)).body.total == total
        async with await mq9.answer(tickets[0]) as answer:
            assert answer.body == {"total": 3}
        # It was done by its block, and so is there no more.
        with pytest.raises(NoAnswerYet):
            await mq9.answer(tickets[0], timeout=0.3)
        assert (await mq9.answer(tickets[1])).body == {"total": 7}

    tickets: list[str] = []
    with_client(broker.url, ask)

    async def answer() -> None:
        async with connect(broker.url) as other:
            answering = asyncio.create_task(answer_all(other, address))
            await wait_until_async(lambda: is_empty(other, address))
            answering.cancel()

    asyncio.run(answer())
    with_client(broker.url, read)


def test_repeated_question_gets_the_first_answer(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        first = await mq9.send_question(address, [1], id="deploy-7")
        assert await mq9.send_question(address, [1], id="deploy-7") == first
        waiting = [asyncio.create_task(mq9.ask(address, [1], of=Sum, id="deploy-7")) for _ in range(2)]
        answering = asyncio.create_task(answer_all(mq9, address))
        for each in waiting:
            assert (await each).body.total == 1
        # It is kept, as its asker may be killed before it has used it.
        assert (await mq9.ask(address, [1], of=Sum, id="deploy-7")).body.total == 1
        answering.cancel()

    with_client(broker.url, use, answers=f"{address}.answers")


@pytest.mark.parametrize("end", ["deleted", "expired", "dead"])
def test_question_that_ends_without_an_answer(broker: Broker, address: str, end: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        asking = asyncio.create_task(mq9.ask(address, "?", **({"ttl": 1} if end == "expired" else {})))
        if end != "expired":
            async with await mq9.group(address, "g").next():
                if end == "dead":
                    raise Reject("no idea")
        with pytest.raises(NoAnswer, match=end) as raised:
            await asking
        assert raised.value.event == end

    with_client(broker.url, use)


def test_second_answer_does_not_count(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        asking = asyncio.create_task(mq9.ask(address, "?", of=str))
        async with mq9.watch(address) as first, mq9.watch(address) as second:
            one, other = await first.next(), await second.next()
            settled = await one.reply("one")
            assert settled.deleted and settled.answer is not None
            assert not (await other.reply("other")).deleted
        assert (await asking).body == "one"

    with_client(broker.url, use)


def test_answer_that_would_be_an_order_is_refused(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        await mq9.send(address, "?")
        message = await mq9.group(address, "g").next()
        for body in ("", "-NAK", "+TERM now", None):
            with pytest.raises(InvalidBody):
                await message.reply(body)

    with_client(broker.url, use)


@pytest.mark.parametrize("text", ["", "a/1", "a/x@b", "A/1@b", "a/1@b/2", "a/1@b#12"])
def test_text_that_is_no_ticket(text: str) -> None:
    with pytest.raises(InvalidTicket):
        Ticket.parse(text)
    for ticket in (Ticket("a.b", 7, "c-d.e_f"), Ticket("a.b", 7, "c", "sha256:" + 64 * "0")):
        assert Ticket.parse(str(ticket)) == ticket
