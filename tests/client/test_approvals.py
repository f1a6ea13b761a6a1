"""Approvals: a decision counts for the action that was asked about and for no other, in any process."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mq9fast.client import (
    InvalidBody,
    InvalidTicket,
    Mq9,
    NoAnswerYet,
    PermissionDenied,
    Ticket,
    WrongAction,
)
from mq9fast.client.approval import Action, Decided, digest
from tests.support.broker import Broker
from tests.support.client import connect, with_client
from tests.support.wire_client import MAILBOX, Wire

DEPLOY = Action("deploy", {"version": "1.7", "where": ["eu"]})
OTHER = Action("deploy", {"version": "6.6", "where": ["eu"]})


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


def ask_and_decide(broker: Broker, address: str, decided: object) -> str:
    """Ask for DEPLOY in one process; somebody answers with `decided`. Returns the ticket as text."""
    tickets: list[str] = []

    async def ask(mq9: Mq9) -> None:
        await mq9.create(address)
        ticket = await mq9.send_approval_request(address, "Deploy?", DEPLOY.name, DEPLOY.arguments)
        tickets.append(str(ticket))

    async def decide(mq9: Mq9) -> None:
        async with mq9.group(address, "g") as approver, await approver.next() as message:
            await message.reply(decided)

    with_client(broker.url, ask)
    with_client(broker.url, decide)
    return tickets[0]


def read_in_another_process(broker: Broker, ticket: str, **options: Any) -> Any:
    """What `decision` returns or raises for a client that did not ask."""
    read: list[Any] = []

    async def use(mq9: Mq9) -> None:
        try:
            read.append(await mq9.decision(ticket, **options))
        except (WrongAction, InvalidBody, InvalidTicket, NoAnswerYet) as error:
            read.append(error)

    with_client(broker.url, use)
    return read[0]


def test_another_process_knows_what_was_approved(broker: Broker, address: str) -> None:
    decided = Decided(decision="approve", action=DEPLOY, action_digest=digest(DEPLOY))
    ticket = ask_and_decide(broker, address, decided)
    decision = read_in_another_process(broker, ticket)
    assert decision.approved and decision.action == DEPLOY
    about_to_do = {"action": DEPLOY.name, "arguments": DEPLOY.arguments}
    assert read_in_another_process(broker, ticket, **about_to_do).approved
    wrong = read_in_another_process(broker, ticket, action=OTHER.name, arguments=OTHER.arguments)
    assert isinstance(wrong, WrongAction)


@pytest.mark.parametrize(
    "decided",
    [
        Decided(decision="approve", action=OTHER, action_digest=digest(OTHER)),
        Decided(decision="approve", action=OTHER, action_digest=digest(DEPLOY)),
        Decided(decision="approve", action=DEPLOY, action_digest=digest(OTHER)),
        Decided(decision="approve", action=DEPLOY),
        Decided(decision="approve"),
        Decided(decision="edit", edited_arguments={"version": "6.6"}),
        Decided(decision="deny", action_digest=digest(OTHER)),
    ],
    ids=["another", "edited action", "edited digest", "no digest", "nothing", "edit", "denies another"],
)
def test_decision_about_another_action_is_an_error_in_another_process(
    broker: Broker, address: str, decided: Decided
) -> None:
    ticket = ask_and_decide(broker, address, decided)
    assert isinstance(read_in_another_process(broker, ticket), WrongAction)

    async def as_an_answer(mq9: Mq9) -> None:
        with pytest.raises(WrongAction):
            await mq9.answer(ticket)

    with_client(broker.url, as_an_answer)


def test_refusal_needs_no_digest(broker: Broker, address: str) -> None:
    ticket = ask_and_decide(broker, address, Decided(decision="deny", reason="no"))
    decision = read_in_another_process(broker, ticket)
    assert (decision.approved, decision.reason) == (False, "no")


def test_ticket_that_was_edited_or_is_of_a_question(broker: Broker, address: str) -> None:
    decided = Decided(decision="approve", action=DEPLOY, action_digest=digest(DEPLOY))
    ticket = Ticket.parse(ask_and_decide(broker, address, decided))
    edited = dataclasses.replace(ticket, action_digest=digest(OTHER))
    assert isinstance(read_in_another_process(broker, str(edited)), WrongAction)
    of_a_question = dataclasses.replace(ticket, action_digest=None)
    assert isinstance(read_in_another_process(broker, str(of_a_question)), InvalidTicket)


def test_forged_answer_is_no_decision(broker: Broker, address: str) -> None:
    """A client that knows the mailbox for answers, the question and its headers sends what an answer has."""
    decided = Decided(decision="approve", action=DEPLOY, action_digest=digest(DEPLOY))
    tickets: list[Ticket] = []

    async def ask(mq9: Mq9) -> None:
        await mq9.create(address)
        asked = {"correlation_id": "c1", "timeout": 1}
        asking = asyncio.create_task(mq9.approve(address, "Deploy?", DEPLOY.name, DEPLOY.arguments, **asked))
        async with mq9.watch(address) as watcher:
            question = await watcher.next()
        assert question.reply_to is not None
        ticket = Ticket(address, question.msg_id, question.reply_to, digest(DEPLOY))
        with Wire(broker.port) as wire:
            forge(wire, ticket, decided, "c1")
        with pytest.raises(NoAnswerYet) as raised:
            await asking
        assert raised.value.ticket == str(ticket)
        tickets.append(ticket)

    with_client(broker.url, ask)
    found = read_in_another_process(broker, str(tickets[0]), timeout=0.5)
    assert isinstance(found, NoAnswerYet)


def forge(wire: Wire, ticket: Ticket, decided: Decided, correlation: str) -> None:
    lines = {
        "Mq9-In-Reply-To": ticket.question,
        "Mq9-From": "zhang",
        "Mq9-Key": ticket.question.replace("/", "-"),
        "Mq9-Correlation-Id": correlation,
    }
    headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    block = f"NATS/1.0\r\n{headers}\r\n".encode()
    for key in (lines["Mq9-Key"], ticket.question):
        reply = wire.request(
            f"{MAILBOX}MSG.{ticket.answers}",
            msgspec.json.encode(decided),
            block.replace(lines["Mq9-Key"].encode(), key.encode()),
        )
        assert "msg_id" in reply.json, reply.json


def test_request_that_shows_another_action_than_it_names_is_not_decided(broker: Broker, address: str) -> None:
    async def use(mq9: Mq9) -> None:
        await mq9.create(address)
        request = {"type": "approval.requested", "title": "Deploy?", "action": DEPLOY}
        await mq9.send_question(address, {**request, "action_digest": digest(OTHER)})
        async with mq9.group(address, "g") as approver:
            message = await approver.next()
            with pytest.raises(InvalidBody, match="another action"):
                await message.decide("approve")
            await message.done()

    with_client(broker.url, use)
