"""A history by mailbox: which messages were sent, where they were seen, and what may have ended them.

The rules ask it only for what is certain, or for what is possible. The broker does what a request asks for
at some moment between invocation and reply. What got no reply may have happened or not.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tests.fault.history.history import History
from tests.fault.history.records import Delivery, Event, Listing, Request, Sighting, Subscription, Watch

FOREVER = float("inf")
RANKS = {"critical": 0, "urgent": 1, "normal": 2}
# Time in the broker counts to the millisecond.
CLOCK_ERROR = 0.003


def seconds(value: str | float) -> float:
    """A duration as the harness writes it in headers: seconds, with or without an s."""
    return float(str(value).removesuffix("s"))


def is_delayed(headers: dict[str, str]) -> bool:
    """Whether the place of a message with these headers is not its msg_id."""
    return "Mq9-Delay" in headers or "Mq9-Deliver-At" in headers


def span(by: Listing | Delivery) -> tuple[float, float]:
    """The moments between which the broker showed a message."""
    return (by.begun, by.ended) if isinstance(by, Listing) else (by.since, by.time)


@dataclass(slots=True, eq=False)
class Message:
    """A message that a client sent, as a MSG or as the answer to a question."""

    uid: str
    address: str
    priority: str
    request: Request
    headers: dict[str, str]
    # The msg_id that a reply told; None if no reply did.
    msg_id: int | None
    is_stored: bool  # a reply says that it is stored
    is_refused: bool  # a reply says that it is not

    @property
    def begun(self) -> float:
        return self.request.begun

    @property
    def acknowledged(self) -> float:
        """When the client knew that it is stored."""
        return self.request.ended if self.is_stored and self.request.ended is not None else FOREVER


def least_bytes(message: Message) -> int:
    """Of a stored message: what the broker adds to it counts, too."""
    return int(message.request.asked.get("bytes", 0))


def most_bytes(message: Message) -> int:
    """Of the message with all its headers."""
    added = {"Uid": message.uid, "Mq9-From": message.request.user}
    block = "".join(f"{name}: {value}\r\n" for name, value in {**message.headers, **added}.items())
    return least_bytes(message) + len(f"NATS/1.0\r\n{block}\r\n")


@dataclass
class Mailbox:
    """What is known of one address."""

    address: str
    creates: list[Request] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    # DELETE and answers, by the msg_id that they name.
    endings: dict[int, list[Request]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def options(self) -> dict[str, Any]:
        """The fields of its CREATEs. The clients of a history do not change them later."""
        options: dict[str, Any] = {}
        for create in self.creates:
            if not create.is_refused:
                options |= create.asked
        return options

    @cached_property
    def lives(self) -> list[Request]:
        """The CREATEs that made it: more than one if it expired in between."""
        return [create for create in self.creates if create.is_ok and create.reply["is_new"]]

    def life_at(self, begun: float, ended: float) -> int | None:
        """The life, counted from 0, in which something happened. None if more than one is possible."""
        begins, ends = self._limits_of_lives
        before = bisect_right(ends, begun)
        return before if before == bisect_left(begins, ended) else None

    @cached_property
    def _limits_of_lives(self) -> tuple[list[float], list[float]]:
        """When the CREATEs that made the mailbox began and ended."""
        begins = sorted(life.begun for life in self.lives)
        return begins, sorted(life.ended for life in self.lives if life.ended is not None)

    def sightings(self) -> Iterator[tuple[Sighting, Listing | Delivery]]:
        for listing in self.listings:
            for seen in listing.messages:
                yield seen, listing
        for delivery in self.deliveries:
            yield delivery.seen, delivery


@dataclass(slots=True, eq=False)
class Stored:
    """A message that is stored for certain from `since` on: a reply said so, or a client was shown it.

    `message`: None for dead letters and receipts. `uid`: or the text of a receipt.
    """

    mailbox: Mailbox
    life: int
    msg_id: int
    uid: str
    message: Message | None
    since: float


class Model:
    """`mailboxes` by address, `messages` by uid, `subscriptions` by number, `events` by watch."""

    def __init__(self, history: History) -> None:
        self.history = history
        # Where a message may have dropped others. Such a message is kept, if it was stored.
        self._dropping = {one.address for one in history.requests if one.asked.get("discard") == "old"}
        requests = [self._as_known(request) for request in history.requests]
        self.mailboxes: dict[str, Mailbox] = {}
        self.messages: dict[str, Message] = {}
        self.subscriptions = {one.number: one for one in history.subscriptions}
        self.deliveries = {one.number: one for one in history.deliveries}
        for request in requests:
            self._add_request(request)
        for listing in history.listings:
            self.mailbox(listing.address).listings.append(listing)
        for subscription in history.subscriptions:
            self.mailbox(subscription.address).subscriptions.append(subscription)
        self.events: dict[int, list[Event]] = {one.number: [] for one in history.watches}
        for watch in history.watches:
            self.mailbox(watch.address).watches.append(watch)
        for event in history.events:
            self.events[event.watch].append(event)
        for delivery in sorted(history.deliveries, key=lambda one: one.time):
            self.mailbox(delivery.seen.address).deliveries.append(delivery)
        # Answers are sent to the mailbox that their question names.
        for request in requests:
            if request.verb == "answer" and request.asked["uid"]:
                self._add_answer(request)

    def mailbox(self, address: str) -> Mailbox:
        if address not in self.mailboxes:
            self.mailboxes[address] = Mailbox(address)
        return self.mailboxes[address]

    def _add_request(self, request: Request) -> None:
        mailbox = self.mailbox(request.address)
        if request.verb == "create":
            mailbox.creates.append(request)
        elif request.verb == "msg":
            asked, reply = request.asked, request.reply or {}
            is_duplicate = "duplicate" in reply
            self._add_message(
                Message(
                    asked["uid"],
                    request.address,
                    asked["priority"],
                    request,
                    asked["headers"],
                    None if is_duplicate else reply.get("msg_id"),
                    is_stored=request.is_ok and not is_duplicate,
                    is_refused=request.is_refused or is_duplicate,
                )
            )
        else:
            mailbox.endings[request.asked["msg_id"]].append(request)

    def _add_answer(self, request: Request) -> None:
        question = self.deliveries[request.asked["delivery"]].seen
        target = question.headers.get("Mq9-Reply-To")
        if target is None:
            return
        stored = (request.reply or {}).get("answer")
        self._add_message(
            Message(
                request.asked["uid"],
                target,
                question.priority,
                request,
                {},
                stored["msg_id"] if stored else None,
                is_stored=bool(stored),
                is_refused=request.reply is not None and not stored,
            )
        )

    def _as_known(self, request: Request) -> Request:
        """The request, or one of unknown outcome: of what failed to become durable, the broker only undoes
        messages that replace nothing, and those not if it ends before."""
        if request.reply is None or request.reply.get("code") != "store_unavailable":
            return request
        replaces = request.address in self._dropping or "Mq9-Key" in request.asked.get("headers", ())
        if request.verb in ("delete", "answer") or replaces:
            return replace(request, reply=None, ended=None)
        for fault in self.history.faults:
            if fault.ends_connections and fault.begun <= request.ended and request.begun <= fault.ended:
                return replace(request, reply=None, ended=None)
        return request

    def _add_message(self, message: Message) -> None:
        self.messages[message.uid] = message
        self.mailbox(message.address).messages.append(message)

    @cached_property
    def stored(self) -> dict[tuple[str, int, int], Stored]:
        """By address, life and msg_id."""
        found: dict[tuple[str, int, int], Stored] = {}
        for mailbox in self.mailboxes.values():
            for message in mailbox.messages:
                if message.is_stored and message.msg_id is not None:
                    life = mailbox.life_at(message.begun, message.acknowledged)
                    self._note(found, mailbox, life, message.msg_id, message.uid, message.acknowledged)
            for seen, by in mailbox.sightings():
                since, ended = span(by)
                life = mailbox.life_at(since, ended)
                self._note(found, mailbox, life, seen.msg_id, seen.uid or seen.text, ended)
        return found

    def _note(
        self,
        found: dict[tuple[str, int, int], Stored],
        mailbox: Mailbox,
        life: int | None,
        msg_id: int,
        uid: str,
        since: float,
    ) -> None:
        if life is None:
            return
        key = mailbox.address, life, msg_id
        if key not in found:
            message = self.messages.get(uid)
            if message is not None and message.address != mailbox.address:
                message = None
            found[key] = Stored(mailbox, life, msg_id, uid, message, since)
        found[key].since = min(found[key].since, since)

    # When messages begin and end.

    def earliest_place(self, message: Message) -> float:
        """Before this moment nobody receives the message."""
        return message.begun + self._delay(message)[0] - CLOCK_ERROR

    def latest_place(self, message: Message) -> float:
        """From this moment on a stored message has its place, or had it."""
        late = 1 if is_delayed(message.headers) else 0
        return message.acknowledged + self._delay(message)[1] + late

    def _delay(self, message: Message) -> tuple[float, float]:
        """How many seconds the message waits at least and at most."""
        if "Mq9-Deliver-At" in message.headers:
            steps = [fault.begun for fault in self.history.faults if fault.kind == "clock"]
            if any(begun < message.acknowledged for begun in steps):
                return 0.0, FOREVER  # by the broker's clock it is another time
            wait = max(message.request.asked["due"] - message.begun, 0.0)
        else:
            wait = seconds(message.headers.get("Mq9-Delay", 0))
        return wait, wait

    def life_seconds(self, message: Message) -> float:
        """How long the message lives from its place on, by its header and `max_age`."""
        age = self.mailbox(message.address).options.get("max_age") or FOREVER
        header = message.headers.get("Nats-TTL")
        if header == "never":
            return FOREVER
        return min(age, seconds(header)) if header else age

    def earliest_end(self, message: Message) -> float:
        """Before this moment the message does not expire by itself."""
        return self.earliest_place(message) + self.life_seconds(message)

    def latest_end(self, message: Message) -> float:
        """From this moment on nobody sees the message."""
        return self.latest_place(message) + self.life_seconds(message) + 1

    def earliest_mailbox_end(self, mailbox: Mailbox, before: float) -> float:
        """The mailbox that lives before a moment does not expire before the time returned."""
        ttl = mailbox.options.get("ttl")
        if not ttl:
            return FOREVER
        creates = [create.begun for create in mailbox.creates if create.is_ok]
        sends = [message.begun for message in mailbox.messages if message.is_stored]
        return max((begun for begun in creates + sends if begun < before), default=0.0) + ttl - CLOCK_ERROR
