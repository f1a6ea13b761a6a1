"""Questions and requests for approval: sent once, answered at any time, read with a ticket."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from mq9fast.client.answers import Answer, Answers
from mq9fast.client.approval import CHOICES, Action, ApprovalRequest, Decision, Risk, digest, read_decision
from mq9fast.client.commands import Commands
from mq9fast.client.errors import Mq9Error, NoAnswer, NoAnswerYet
from mq9fast.client.ticket import Ticket
from mq9fast.client.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mq9fast.client.options import SendOptions

T = TypeVar("T")

# How long answers may wait for their reader, after the last one came.
ANSWERS_TTL = 30 * 24 * 3600


class Questions(Commands):
    """The part of the client that asks.

    Answers arrive in a mailbox of this client: `answers`, or one with a generated address.
    """

    def __init__(self, transport: Transport, timeout: float, answers: str | None) -> None:
        super().__init__(transport, timeout)
        self._answers_address = answers
        # Whether somebody has a ticket, and may come back for an answer after this client has gone.
        self._has_tickets = answers is not None
        self._creating = asyncio.Lock()
        self._answers: dict[str, Answers] = {}

    @overload
    async def ask(
        self,
        to: str,
        body: object,
        *,
        of: type[T],
        timeout: float | None = ...,
        **options: "Unpack[SendOptions]",
    ) -> Answer[T]: ...

    @overload
    async def ask(
        self, to: str, body: object, *, timeout: float | None = ..., **options: "Unpack[SendOptions]"
    ) -> Answer[Any]: ...

    async def ask(
        self, to: str, body: object, *, of: Any = Any, timeout: float | None = None, **options: Any
    ) -> Answer[Any]:
        """Send a question, and wait for its answer: for ever, or `timeout` seconds.

        Nobody need be connected at the same time as this client. The answer is deleted, unless the question
        has an `id`: then a program that was killed asks again with this `id` and gets the same answer, until
        that is done. Raises NoAnswerYet with the ticket, and NoAnswer if the question expired or was deleted.
        """
        keep = "id" in options
        self._has_tickets |= keep
        correlation = options.setdefault("correlation_id", uuid.uuid4().hex)
        answers = await self._answers_in(options.get("reply_to"))
        await answers.start()
        future, names = answers.expect(correlation), [correlation]
        try:
            ticket, is_new = await self._send_question(to, body, answers.address, options)
            if is_new:
                answers.expect(ticket.question, future)
                names.append(ticket.question)
                answer = await answers.wait(future, ticket, of, timeout)
            else:
                # It was asked before, by another process, whose correlation id the answer has.
                answer = await answers.read(ticket, of, timeout)
        except NoAnswerYet:
            self._has_tickets = True
            raise
        finally:
            answers.forget(future, *names)
        if not keep:
            await answer.done()
        return answer

    async def send_question(self, to: str, body: object, **options: "Unpack[SendOptions]") -> Ticket:
        """Send a question, and do not wait: `answer(ticket)` does that, in any process."""
        answers = await self._answers_in(options.get("reply_to"))
        self._has_tickets = True
        return (await self._send_question(to, body, answers.address, dict(options)))[0]

    @overload
    async def answer(
        self, ticket: Ticket | str, *, of: type[T], timeout: float | None = ...
    ) -> Answer[T]: ...

    @overload
    async def answer(self, ticket: Ticket | str, *, timeout: float | None = ...) -> Answer[Any]: ...

    async def answer(
        self, ticket: Ticket | str, *, of: Any = Any, timeout: float | None = None
    ) -> Answer[Any]:
        """Wait for the answer to a question that any process sent. It stays until `answer.done()`.

        Raises NoAnswerYet, NoAnswer, InvalidTicket, and MailboxNotFound if its mailbox has expired.
        """
        parsed = Ticket.parse(ticket)
        return await self._box(parsed.answers).read(parsed, of, timeout)

    async def approve(
        self,
        to: str,
        title: str,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        expires: float | None = None,
        choices: Sequence[str] = CHOICES,
        risk: str | None = None,
        schema: dict[str, Any] | None = None,
        **options: "Unpack[SendOptions]",
    ) -> Decision:
        """Ask whether an action may be done, and wait for the decision.

        `expires`: seconds, after which the decision is `expired`. `choices`: the decisions that are offered.
        `risk`: such as "high". `schema`: a JSON Schema of arguments that may be edited. Raises NoAnswerYet
        with the ticket, NoAnswer, WrongAction, and InvalidBody if the answer is no decision.
        """
        request = _request(title, action, arguments, expires, choices, risk, schema)
        try:
            answer = await self.ask(
                to, request, of=bytes, timeout=timeout, **_approval_options(options, expires)
            )
        except NoAnswer as error:
            return _expired(error)
        return read_decision(answer.data, answer.by, request.action_digest)

    async def send_approval_request(
        self,
        to: str,
        title: str,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        expires: float | None = None,
        choices: Sequence[str] = CHOICES,
        risk: str | None = None,
        schema: dict[str, Any] | None = None,
        **options: "Unpack[SendOptions]",
    ) -> Ticket:
        """As `approve`, but do not wait: `decision(ticket)` waits for the decision."""
        request = _request(title, action, arguments, expires, choices, risk, schema)
        return await self.send_question(to, request, **_approval_options(options, expires))

    async def decision(self, ticket: Ticket | str, *, timeout: float | None = None) -> Decision:
        """Wait for the decision on a request that any process sent. The answer stays in its mailbox."""
        try:
            answer = await self.answer(ticket, of=bytes, timeout=timeout)
        except NoAnswer as error:
            return _expired(error)
        return read_decision(answer.data, answer.by, None)

    async def _send_question(self, to: str, body: object, answers: str, options: Any) -> tuple[Ticket, bool]:
        """The ticket, and whether the question is new."""
        # The broker tells the same mailbox if the question ends without an answer.
        options = {"receipt_to": answers, **options, "reply_to": answers}
        is_named = "id" in options
        options.setdefault("id", uuid.uuid4().hex)
        sent = await self.send(to, body, **options)
        # A question with a new id is new, although it may have been sent twice.
        return Ticket(to, sent.msg_id, answers), not (is_named and sent.duplicate)

    async def _answers_in(self, reply_to: str | None) -> Answers:
        """The mailbox for answers; creates the one of this client."""
        if reply_to is not None:
            return self._box(reply_to)
        async with self._creating:
            if self._answers_address is None or self._answers_address not in self._answers:
                name = self._answers_address
                created = await self.create(name, prefix=None if name else "answers", ttl=ANSWERS_TTL)
                self._answers_address = created.mail_address
            return self._box(self._answers_address)

    async def _end_answers(self) -> None:
        """Let the generated mailbox for answers expire if nobody can come back for one."""
        for box in self._answers.values():
            await box.close()
        if self._answers_address is not None and not self._has_tickets:
            with contextlib.suppress(Mq9Error):
                await self.create(self._answers_address, ttl=1)

    def _box(self, address: str) -> Answers:
        if address not in self._answers:
            self._answers[address] = Answers(self._transport, self.timeout, address)
        return self._answers[address]


def _request(
    title: str,
    action: str,
    arguments: Mapping[str, Any] | None,
    expires: float | None,
    choices: Sequence[str],
    risk: str | None,
    schema: dict[str, Any] | None,
) -> ApprovalRequest:
    what = Action(action, arguments or {})
    return ApprovalRequest(
        title=title,
        action=what,
        action_digest=digest(what),
        choices=list(choices),
        risk=Risk(risk) if risk else None,
        schema=schema,
        expires_at=None if expires is None else round(time.time() + expires, 3),
    )


def _approval_options(options: Any, expires: float | None) -> Any:
    """A request that expires leaves the mailbox of the approver. It is urgent if nothing else is said."""
    options = {"priority": "urgent", **options}
    return options if expires is None else {"ttl": max(expires, 1), **options}


def _expired(error: NoAnswer) -> Decision:
    if error.event != "expired":
        raise error
    return Decision(decision="expired")
