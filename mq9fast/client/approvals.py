"""Requests for approval: questions whose answers are decisions about an action."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mq9fast.client.approval import CHOICES, Action, ApprovalRequest, Decision, Risk, digest, read_decision
from mq9fast.client.errors import InvalidTicket, NoAnswer, WrongAction
from mq9fast.client.questions import Questions
from mq9fast.client.ticket import Ticket

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from mq9fast.client.options import SendOptions


class Approvals(Questions):
    """The part of the client that asks for approval."""

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
            answer = await self._ask(
                to, request, bytes, timeout, _approval_options(options, expires), request.action_digest
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
        options = _approval_options(options, expires)
        answers = await self._answers_in(options.get("reply_to"))
        self._has_tickets = True
        return (
            await self._send_question(to, request, answers.address, dict(options), request.action_digest)
        )[0]

    async def decision(
        self,
        ticket: Ticket | str,
        *,
        action: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Decision:
        """Wait for the decision on a request that any process sent. The answer stays in its mailbox.

        `action`, `arguments`: what the program is about to do, to be sure that this is what was asked for.
        Raises WrongAction if it is not, or if the decision is about another action than the ticket.
        Raises InvalidTicket if the ticket is of an ordinary question.
        """
        parsed = Ticket.parse(ticket)
        if parsed.action_digest is None:
            raise InvalidTicket(f"'{parsed}' is not the ticket of a request for approval.")
        if action is not None and digest(Action(action, arguments or {})) != parsed.action_digest:
            raise WrongAction("The ticket is of a request for another action.")
        try:
            answer = await self.answer(parsed, of=bytes, timeout=timeout)
        except NoAnswer as error:
            return _expired(error)
        return read_decision(answer.data, answer.by, parsed.action_digest)


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
