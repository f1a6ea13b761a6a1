"""What the broker replies, as types. Times are Unix seconds, sizes bytes; docs/protocol.md has the fields."""

import base64
from typing import Any, Literal, TypeVar

import msgspec

from mq9fast.client.errors import Mq9Error, error_of_reply

Priority = Literal["normal", "urgent", "critical"]

_T = TypeVar("_T", bound="_Reply")


class _Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class _Failure(msgspec.Struct):
    error: str | None = None
    code: str = "error"


class Created(_Reply, frozen=True):
    """Reply to CREATE. `options`: those in force, if the request gave any."""

    mail_address: str
    is_new: bool
    options: dict[str, Any] | None = None


class Sent(_Reply, frozen=True):
    """Reply to MSG: the message is stored. `duplicate`: it was stored before, with the same id."""

    msg_id: int
    duplicate: bool = False
    deliver_at: int | None = None
    expires_at: int | None = None


class Stored(_Reply, frozen=True):
    """Where an answer was stored."""

    mail_address: str
    msg_id: int


class Settled(_Reply, frozen=True):
    """Reply to DELETE and to answers. `deleted`: the message was still there, and this was its end.

    `answer`: where the answer is. If it is None although there was a question, `reason` says why.
    """

    deleted: bool
    answer: Stored | None = None
    reason: str | None = None


class GroupInfo(_Reply, frozen=True):
    name: str
    members: int
    in_flight: int
    waiting: int


class MailboxInfo(_Reply, frozen=True):
    """The `mailbox` of LIST, with the number of its messages."""

    public: bool
    ttl: int
    bytes: int
    readers: int
    total: int = 0
    groups: list[GroupInfo] = []
    groups_omitted: int = 0
    desc: str = ""
    expires_at: int | None = None
    create_time: int | None = None
    oldest: int | None = None
    delayed: int = 0
    options: dict[str, Any] = {}


class ListedMessage(_Reply, frozen=True):
    """A message as LIST shows it. `sender`: the name that the broker proves."""

    msg_id: int
    priority: Priority
    create_time: int
    size: int
    headers: dict[str, str | list[str]] = {}
    deliveries: int = 0
    deliver_at: int | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    key: str | None = None
    payload: str | None = None
    payload_base64: str | None = None
    payload_omitted: bool = False

    @property
    def data(self) -> bytes | None:
        """The payload; None if the reply does not have it: it did not fit, or was not asked for."""
        if self.payload_base64 is not None:
            return base64.b64decode(self.payload_base64)
        return None if self.payload is None else self.payload.encode()

    @property
    def text(self) -> str:
        """The payload as text; what is no UTF-8 is replaced."""
        return (self.data or b"").decode(errors="replace")

    def json(self) -> Any:
        """The payload, decoded from JSON. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.data or b"")


class Page(_Reply, frozen=True):
    """Reply to LIST. `mailbox` is None on later pages."""

    mail_address: str
    total: int
    messages: list[ListedMessage]
    mailbox: MailboxInfo | None = None
    next: str | None = None
    end: str | None = None


class PublicMailbox(_Reply, frozen=True):
    """A mailbox on the bulletin board."""

    mail_address: str
    total: int
    ttl: int
    create_time: int | None = None
    expires_at: int | None = None
    desc: str = ""
    latest: ListedMessage | None = None


class BoardPage(_Reply, frozen=True):
    """Reply to LIST without an address."""

    mailboxes: list[PublicMailbox]
    next: str | None = None


class Event(_Reply, frozen=True):
    """What became of a mailbox or of one of its messages."""

    event: str
    total: int | None = None
    expires_at: int | None = None
    msg_id: int | None = None
    how: str | None = None
    by: str | None = None
    reason: str | None = None
    answer: Stored | None = None


def read_reply(data: bytes, kind: type[_T]) -> _T:
    """Raises the error that the reply stands for, as a subclass of Mq9Error."""
    try:
        failure = msgspec.json.decode(data, type=_Failure) if b'"error"' in data[:10] else None
        if failure is None or failure.error is None:
            return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise Mq9Error(f"The broker's reply could not be read: {error}: {data[:200]!r}") from None
    raise error_of_reply(failure.error, failure.code)
