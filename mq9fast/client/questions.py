"""Questions: sent once, answered at any time, read with a ticket."""

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any, TypeVar, overload

from mq9fast.client.answers import Answer, Answers
from mq9fast.client.approval import read_decision
from mq9fast.client.commands import Commands
from mq9fast.client.errors import Mq9Error, NoAnswerYet
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
        return await self._ask(to, body, of, timeout, options)

    async def _ask(
        self,
        to: str,
        body: object,
        of: Any,
        timeout: float | None,
        options: Any,
        action_digest: str | None = None,
    ) -> Answer[Any]:
        keep = "id" in options
        self._has_tickets |= keep
        correlation = options.setdefault("correlation_id", uuid.uuid4().hex)
        answers = await self._answers_in(options.get("reply_to"))
        await answers.start()
        future, names = answers.expect(correlation), [correlation]
        try:
            ticket, is_new = await self._send_question(to, body, answers.address, options, action_digest)
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

        Raises NoAnswerYet, NoAnswer, InvalidTicket, and MailboxNotFound if its mailbox has expired. With the
        ticket of a request for approval it raises what `decision` does.
        """
        parsed = Ticket.parse(ticket)
        answer = await self._box(parsed.answers).read(parsed, of, timeout)
        if parsed.action_digest is not None:
            read_decision(answer.data, answer.by, parsed.action_digest)
        return answer

    async def _send_question(
        self, to: str, body: object, answers: str, options: Any, action_digest: str | None = None
    ) -> tuple[Ticket, bool]:
        """The ticket, and whether the question is new."""
        # The broker tells the same mailbox if the question ends without an answer.
        options = {"receipt_to": answers, **options, "reply_to": answers}
        is_named = "id" in options
        options.setdefault("id", uuid.uuid4().hex)
        sent = await self.send(to, body, **options)
        # A question with a new id is new, although it may have been sent twice.
        return Ticket(to, sent.msg_id, answers, action_digest), not (is_named and sent.duplicate)

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
