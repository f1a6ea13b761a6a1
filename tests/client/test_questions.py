"""Questions, answers, tickets and approvals."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mq9fast.client import (
    InvalidBody,
    InvalidTicket,
    MailboxNotFound,
    Mq9,
    NoAnswer,
    NoAnswerYet,
    PermissionDenied,
    Reject,
    Ticket,
    WrongAction,
)
from mq9fast.client.approval import Decided
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


def test_approval(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        arguments = {"version": "1.7", "where": ["eu"]}
        asking = asyncio.create_task(mq9.approve(address, "Deploy 1.7?", "deploy", arguments, risk="high"))
        async with mq9.group(address, "g") as approver, await approver.next() as message:
            request = message.approval()
            assert (request.title, request.action.name) == ("Deploy 1.7?", "deploy")
            assert request.action.arguments == arguments and message.priority == "urgent"
            assert request.risk is not None and request.risk.level == "high"
            with pytest.raises(InvalidBody, match="choose one of approve, deny"):
                await message.decide("maybe")
            assert (await message.decide("deny", reason="on a Friday?")).deleted
        decision = await asking
        assert (decision.decision, decision.approved, decision.reason) == ("deny", False, "on a Friday?")

    with_client(broker.url, use)


def test_decision_about_another_action_does_not_count(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        for body, error in (
            (Decided(decision="approve", action_digest="sha256:0"), WrongAction),
            ("ok", InvalidBody),
        ):
            asking = asyncio.create_task(mq9.approve(address, "Deploy?", "deploy"))
            async with mq9.group(address, "g") as approver, await approver.next() as message:
                await message.reply(body)
            with pytest.raises(error):
                await asking

    with_client(broker.url, use)


def test_approval_expires_and_a_ticket_tells(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        ticket = await mq9.send_approval_request(
            address, "Deploy?", "deploy", expires=1, choices=["approve", "edit"]
        )
        decision = await mq9.decision(str(ticket))
        assert (decision.decision, decision.approved) == ("expired", False)
        edited = await mq9.send_approval_request(address, "Deploy?", "deploy", {"n": 1}, choices=["edit"])
        async with mq9.group(address, "g") as approver, await approver.next() as message:
            await message.decide("edit", arguments={"n": 2})
        decision = await mq9.decision(edited)
        assert decision.approved and decision.arguments == {"n": 2}

    with_client(broker.url, use)


def test_decision_proves_who_decided(start_broker: Callable[..., Broker], tmp_path: Path) -> None:
    config = tmp_path / "mq9.toml"
    config.write_text(
        '[[users]]\nuser = "agent"\npassword = "a"\n[[users]]\nuser = "zhang"\npassword = "z"\n'
        'permissions.publish = ["$mq9.AI.MAILBOX.DELETE.>", "$mq9.AI.MAILBOX.LIST.approvals"]\n'
    )
    broker = start_broker("--config", str(config))

    async def use(agent: Mq9) -> None:
        await agent.create("approvals")
        async with connect(broker.url, user="zhang", password="z") as zhang:
            with pytest.raises(PermissionDenied):
                await zhang.send("approvals", "forged")
            asking = asyncio.create_task(agent.approve("approvals", "Deploy?", "deploy"))
            async with zhang.group("approvals", "people") as people, await people.next() as message:
                assert message.sender == "agent"
                await message.decide("approve")
            assert (await asking).by == "zhang"

    with_client(broker.url, use, user="agent", password="a")


@pytest.mark.parametrize("text", ["", "a/1", "a/x@b", "A/1@b", "a/1@b/2"])
def test_text_that_is_no_ticket(text: str) -> None:
    with pytest.raises(InvalidTicket):
        Ticket.parse(text)
    ticket = Ticket("a.b", 7, "c-d.e_f")
    assert Ticket.parse(str(ticket)) == ticket
