"""Requests for approval and decisions: what the bodies of such questions and answers look like.

They are JSON, a convention of clients; to the broker they are messages like all others.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from mq9fast.client.errors import InvalidBody, WrongAction

REQUESTED, DECIDED = "approval.requested", "approval.decided"
CHOICES = ("approve", "deny")
APPROVING = ("approve", "edit")


class Action(msgspec.Struct, frozen=True):
    """What is to be done, such as `deploy` with its arguments."""

    name: str
    arguments: Mapping[str, Any] = {}


class Risk(msgspec.Struct, frozen=True):
    level: str
    reasons: list[str] = []


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=REQUESTED):
    """`choices`: the decisions offered. `schema`: JSON Schema of edited arguments. Times: Unix seconds."""

    title: str
    action: Action
    action_digest: str
    choices: list[str] = msgspec.field(default_factory=lambda: list(CHOICES))
    risk: Risk | None = None
    schema: dict[str, Any] | None = None
    expires_at: float | None = None
    correlation_id: str | None = None


class Decided(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=DECIDED):
    """The body of the answer. `action`: what was asked for, as the client that decided saw it."""

    decision: str
    action: Action | None = None
    reason: str | None = None
    edited_arguments: Mapping[str, Any] | None = None
    action_digest: str | None = None
    correlation_id: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`by`: the name of who decided, as the broker proves it, or None where nobody signs in.

    `decision`: one of the choices; `expired` if nobody decided in time. `action`: what was asked for, if the
    client that decided says it. `arguments`: those that were edited, to use instead of those of the action.
    """

    decision: str
    action: Action | None = None
    reason: str | None = None
    by: str | None = None
    arguments: Mapping[str, Any] | None = None

    @property
    def approved(self) -> bool:
        """Whether the action may be done: as it was asked for, or with the edited `arguments`."""
        return self.decision in APPROVING


def digest(action: Action) -> str:
    """`sha256:` and the SHA-256 of an action in hex, as JSON without blanks and with sorted arguments."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(action, order="deterministic")).hexdigest()


def decision_on(
    request: ApprovalRequest, decision: str, reason: str | None, arguments: Mapping[str, Any] | None = None
) -> bytes:
    """The body of a decision. Raises InvalidBody if it is not offered, or the request names another action
    than it shows."""
    if decision not in request.choices:
        raise InvalidBody(f"'{decision}' is not offered: choose one of {', '.join(request.choices)}.")
    if request.action_digest != digest(request.action):
        raise InvalidBody("The request has the digest of another action than the one that it shows.")
    return msgspec.json.encode(
        Decided(
            decision=decision,
            action=request.action,
            reason=reason,
            edited_arguments=arguments,
            action_digest=request.action_digest,
        )
    )


def read_decision(data: bytes, by: str | None, action_digest: str) -> Decision:
    """`action_digest`: of the action that was asked about. Raises InvalidBody and WrongAction.

    A decision that approves must name this digest.
    """
    try:
        decided = msgspec.json.decode(data, type=Decided)
    except msgspec.DecodeError as error:
        raise InvalidBody(f"The answer is no decision: {error}.") from None
    is_named = decided.action_digest == action_digest
    if not is_named and (decided.action_digest is not None or decided.decision in APPROVING):
        raise WrongAction("The decision is not about the action that was asked about.")
    if decided.action is not None and digest(decided.action) != action_digest:
        raise WrongAction("The decision shows another action than the one that was asked about.")
    return Decision(
        decision=decided.decision,
        action=decided.action,
        reason=decided.reason,
        by=by,
        arguments=decided.edited_arguments,
    )
