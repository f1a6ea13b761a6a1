"""The records of a history. Times are seconds of the machine's steady clock, which all processes share."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

now = time.monotonic


@dataclass(slots=True)
class Request:
    """A command, from its invocation to its reply.

    `verb`: create, msg, delete, or answer (a publication on the reply subject of a delivery).
    `asked`: what the client sent: the fields of a CREATE; `uid`, `priority` and `headers` of a MSG; `msg_id`
    of a DELETE; `msg_id`, `token`, `body`, `uid` and `delivery` of an answer. A MSG also has `bytes`, those
    of its payload, and `due`, the moment of its Mq9-Deliver-At. `reply`: None if none came. `user`: the name
    with which the client signed in.
    """

    verb: str
    client: str
    address: str
    asked: dict[str, Any]
    begun: float
    ended: float | None = None
    reply: dict[str, Any] | None = None
    user: str = ""

    @property
    def is_ok(self) -> bool:
        return self.reply is not None and "code" not in self.reply

    @property
    def is_refused(self) -> bool:
        """Whether the broker said that it did nothing."""
        return self.reply is not None and "code" in self.reply


@dataclass(slots=True)
class Sighting:
    """A stored message that a client was shown, by a listing or a delivery.

    `uid`: None if the payload is not, byte by byte, one that a client of the history sent.
    """

    address: str
    msg_id: int
    priority: str
    uid: str | None
    headers: dict[str, str]
    text: str = ""  # of a message without uid: a receipt
    is_delayed: bool = False


@dataclass(slots=True)
class Listing:
    """All pages of a LIST. `code`: the error, if it got one. `is_final`: nothing was to happen any more."""

    client: str
    address: str
    begun: float
    ended: float
    total: int
    messages: list[Sighting]
    code: str = ""
    is_final: bool = False


@dataclass(slots=True)
class Subscription:
    """A subscription of one connection.

    `ended`: when the client began to end it, or saw that its connection had ended.
    """

    number: int
    client: str
    address: str
    priority: str  # "" for all
    group: str
    begun: float
    ended: float | None = None
    is_lost: bool = False  # the connection ended without the client's wish


@dataclass(slots=True)
class Delivery:
    """A message that a subscription received at `time`, and that was sent after `since`."""

    number: int
    subscription: int
    seen: Sighting
    time: float
    since: float
    token: str = ""


@dataclass(slots=True)
class Watch:
    """A subscription to the events of a mailbox; with `detailed`, also to those of its messages.

    `complete_until`: whatever the broker sent before this moment is in the history.
    """

    number: int
    client: str
    address: str
    detailed: bool
    begun: float
    complete_until: float = 0.0


@dataclass(slots=True)
class Event:
    """What a watch was told at `time`, and was sent after `since`. `told`: the JSON object."""

    watch: int
    address: str
    told: dict[str, Any]
    time: float
    since: float

    @property
    def name(self) -> str:
        return str(self.told["event"])


@dataclass(slots=True)
class Fault:
    """What was done to the broker.

    `kind`: kill, power, end (SIGTERM), stop (SIGSTOP), clock, error or owner_change. An owner_change is for
    clusters: what was delivered before it, the new owner may deliver again, as a broker does after a kill.
    """

    kind: str
    begun: float
    ended: float
    note: str = ""

    @property
    def ends_connections(self) -> bool:
        return self.kind in ("kill", "power", "end", "owner_change")


Record = Request | Listing | Subscription | Delivery | Watch | Event | Fault
KINDS: dict[str, type] = {
    kind.__name__: kind for kind in (Request, Listing, Subscription, Delivery, Watch, Event, Fault)
}


def to_json(record: Record) -> dict[str, Any]:
    return {"record": type(record).__name__, **asdict(record)}


def from_json(fields: dict[str, Any]) -> Record:
    kind = KINDS[fields.pop("record")]
    if kind is Listing:
        fields["messages"] = [Sighting(**seen) for seen in fields["messages"]]
    if kind is Delivery:
        fields["seen"] = Sighting(**fields["seen"])
    return kind(**fields)


@dataclass(slots=True)
class Violation:
    """A broken rule. `facts`: the records that show it."""

    rule: str
    sentence: str
    facts: list[Record | Sighting] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n    ".join([f"{self.rule}: {self.sentence}", *map(repr, self.facts)])
