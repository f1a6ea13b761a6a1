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
    """The body of the answer."""

    decision: str
    reason: str | None = None
    edited_arguments: Mapping[str, Any] | None = None
    action_digest: str | None = None
    correlation_id: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`by`: the name of who decided, as the broker proves it, or None where nobody signs in.

    `decision`: one of the choices; `expired` if nobody decided in time. `arguments`: those that were edited.
    """

    decision: str
    reason: str | None = None
    by: str | None = None
    arguments: Mapping[str, Any] | None = None

    @property
    def approved(self) -> bool:
        return self.decision in ("approve", "edit")


def digest(action: Action) -> str:
    """The SHA-256 of an action: a decision names it, so that it counts for this action and no other."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(action, order="deterministic")).hexdigest()


def decision_body(decided: Decided) -> bytes:
    return msgspec.json.encode(decided)


def read_decision(data: bytes, by: str | None, action_digest: str | None) -> Decision:
    """`action_digest`: of the action that was asked about, if known. Raises InvalidBody and WrongAction."""
    try:
        decided = msgspec.json.decode(data, type=Decided)
    except msgspec.DecodeError as error:
        raise InvalidBody(f"The answer is no decision: {error}.") from None
    if action_digest is not None and decided.action_digest not in (None, action_digest):
        raise WrongAction("The decision is about another action than the one that was asked about.")
    return Decision(
        decision=decided.decision, reason=decided.reason, by=by, arguments=decided.edited_arguments
    )
