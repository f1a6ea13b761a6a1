"""What a message says that a client has received: its body, and what the headers say of it."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from mq9fast.client.approval import ApprovalRequest
from mq9fast.client.body import decode
from mq9fast.client.replies import Priority
from mq9fast.client.transport import Delivery

T = TypeVar("T")

RANKS: dict[str, int] = {"critical": 0, "urgent": 1, "normal": 2}


class Received(Generic[T]):
    """The part that messages of both clients have, the one with coroutines and the one without.

    `address`, `msg_id`: the mailbox and the number. `data`: the body as bytes. `headers`: all of them.
    `priority`: normal, urgent or critical.
    """

    def __init__(self, address: str, delivery: Delivery, of: Any) -> None:
        self._delivery = delivery
        self._of = of
        self.address = address
        self.data = delivery.data
        self.headers: Mapping[str, str] = delivery.headers
        number, _, token = delivery.reply.rpartition(".")[2].partition("-")
        self.msg_id = int(number or -1)
        # Whether the mailbox takes the message back after its `ack_wait`.
        self.is_timed = bool(token)
        tail = delivery.subject.rpartition(".")[2]
        self.priority: Priority = cast(Priority, tail) if tail in RANKS else "normal"

    def __repr__(self) -> str:
        return f"<Message {self.address}/{self.msg_id}, {self.priority}, {len(self.data)} bytes>"

    @property
    def body(self) -> T:
        """The body as the type that was asked for, by default decoded from JSON. Raises InvalidBody."""
        return cast(T, decode(self.data, self._of))

    def json(self) -> Any:
        """The body, decoded from JSON. Raises InvalidBody."""
        return decode(self.data, Any)

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.data.decode(errors="replace")

    @property
    def sender(self) -> str | None:
        """The name that the broker proves; None if the sender did not sign in with a name."""
        return self.headers.get("Mq9-From")

    @property
    def deliveries(self) -> int:
        """The number of this delivery to a member of a group; 1 is the first."""
        return int(self.headers.get("Mq9-Deliveries", "1"))

    @property
    def key(self) -> str | None:
        """A later message with this key replaces this one; None without a key."""
        return self._header("mq9-key")

    @property
    def reply_to(self) -> str | None:
        """The mailbox that receives the answer; None if the message is no question."""
        return self._header("mq9-reply-to")

    @property
    def correlation_id(self) -> str | None:
        """What the sender wrote to tell its questions apart; the answer has it too."""
        return self._header("mq9-correlation-id")

    def _header(self, name: str) -> str | None:
        return next((value for each, value in self.headers.items() if each.lower() == name), None)

    def approval(self) -> ApprovalRequest:
        """The request for approval that this message is. Raises InvalidBody."""
        return cast(ApprovalRequest, decode(self.data, ApprovalRequest))
