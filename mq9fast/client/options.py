"""The options that calls take, as types: the fields of CREATE, and the headers of MSG."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, TypedDict

from mq9fast.client.errors import BadRequest
from mq9fast.client.names import check_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mq9fast.client.replies import Priority


class MailboxOptions(TypedDict, total=False):
    """The options of a mailbox, as in docs/protocol.md. Times are seconds."""

    max_messages: int
    max_bytes: int
    discard: Literal["new", "old"]
    duplicate_window: float
    max_age: float
    max_in_flight: int
    ack_wait: float
    max_deliver: int
    dead_letter: str
    dead_letter_expired: bool
    backoff: float | list[float]
    receipts_to: str


class SendOptions(TypedDict, total=False):
    """What can be said about a message.

    `delay`: seconds, or the time at which it is due (with a time zone). `ttl`: seconds that it lives, or
    "never".
    `key`: it replaces the message with this key. `id`: the mailbox stores a message with this id once, so
    the client sends it again if the connection is lost. `reply_to`: the mailbox for answers.
    `receipt_to`: the mailbox that is told what becomes of it, of `receipt_on` or of everything.
    """

    priority: Priority
    delay: float | datetime
    ttl: float | Literal["never"]
    key: str
    id: str
    reply_to: str
    correlation_id: str
    receipt_to: str
    receipt_on: str
    headers: Mapping[str, str]


_HEADERS = {
    "key": "Mq9-Key",
    "id": "Nats-Msg-Id",
    "reply_to": "Mq9-Reply-To",
    "correlation_id": "Mq9-Correlation-Id",
    "receipt_to": "Mq9-Receipt-To",
    "receipt_on": "Mq9-Receipt-On",
}


def headers_of(options: SendOptions) -> dict[str, str]:
    """The headers that say what `options` say. Raises BadRequest."""
    headers = dict(options.get("headers") or {})
    for option, name in _HEADERS.items():
        if (value := options.get(option)) is not None:
            headers[name] = str(value)
    delay = options.get("delay")
    if isinstance(delay, datetime):
        if delay.tzinfo is None:
            raise BadRequest("The time of `delay` has no time zone.")
        headers["Mq9-Deliver-At"] = delay.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    elif delay is not None:
        headers["Mq9-Delay"] = seconds(delay)
    ttl = options.get("ttl")
    if ttl is not None:
        # A plain number there is in whole seconds; a Go duration may have a fraction.
        headers["Nats-TTL"] = ttl if isinstance(ttl, str) else f"{seconds(ttl)}s"
    return check_headers(headers)


def seconds(value: float) -> str:
    """A number of seconds as the broker reads it, to the millisecond."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
