"""/mailboxz: how many mailboxes there are and what they hold, and a page of them in order of address."""

import secrets
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

import msgspec

from mq9fast._core.delivery.queue_group import QueueGroup
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.errors import StoreError
from mq9fast.monitoring.page import (
    JSON,
    Page,
    Query,
    RefusedMessages,
    Whole,
    json_list,
    json_with,
    read_query,
)
from mq9fast.monitoring.privacy import Privacy, shown_address
from mq9fast.monitoring.units import timestamp
from mq9fast.storage.store import Store
from mq9fast.text import printable

if TYPE_CHECKING:
    from mq9fast.server.broker import Broker

DEFAULT_LIMIT = 1024
PRIORITIES = ("critical", "urgent", "normal")
# Mailboxes that are taken at a time, places of the directory that are looked at, and addresses that are kept.
RUN = 128
PLACES = 256
MAX_FOUND = 16384
MAX_CURSORS = 1024


class MailboxzQuery(Query, frozen=True):
    """What may be asked for."""

    limit: Whole = DEFAULT_LIMIT
    cursor: str = ""

    takes: ClassVar[dict[str, str]] = {
        "limit": "a whole number of mailboxes",
        "cursor": "what an earlier page gave as next, not too long ago",
    }


class MailboxInfo(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One mailbox. `uid` tells those apart whose addresses are not shown in full."""

    address: str
    uid: int
    public: bool
    ttl: int
    expires: str = ""
    messages: dict[str, int]
    bytes: int
    oldest_message: str = ""
    next_id: int
    subscribers: int


class GroupInfo(msgspec.Struct, gc=False):
    """A queue group: its members, the messages they hold, and those that came back and wait."""

    name: str
    members: int
    held: int
    returned: int


class Mailboxz:
    """The page of one broker."""

    def __init__(self, broker: "Broker", store: Store) -> None:
        self._broker = broker
        self._mailboxes = broker.mailboxes
        self._time = broker.engine.time
        self._mailbox_index = broker.mailboxes.mailbox_index
        self._privacy = Privacy(self._mailbox_index)
        self._store = store
        self._cursors = Cursors()

    def page(self, query: str) -> Page:
        """Raises Refused (400)."""
        asked = read_query(query, MailboxzQuery)
        after = self._cursors.place(asked.cursor) if asked.cursor else b""
        if after is None:
            raise RefusedMessages(400, f"The parameter cursor must be {asked.takes['cursor']}.")
        return Page(200, JSON, self._pieces(asked.limit if asked.limit > 0 else DEFAULT_LIMIT, after))

    def _pieces(self, limit: int, after: bytes) -> Iterator[bytes]:
        yield msgspec.json.encode(self._totals(limit))[:-1] + b',"mailboxes":['
        shown = 0
        last = b""
        try:
            for mailboxes in self._living(after, limit):
                for mailbox in mailboxes:
                    if shown == limit:
                        yield b'],"next":"%b"}' % self._cursors.keep(last).encode()
                        return
                    if shown:
                        yield b","
                    yield from self._entry(mailbox)
                    last = mailbox.address
                    shown += 1
                yield b""
            yield b"]}"
        except StoreError:
            raise RefusedMessages(503, "The store could not be read.") from None

    def _totals(self, limit: int) -> dict[str, object]:
        mailbox_index = self._mailbox_index
        return {
            "server_id": self._broker.handshake.server_id,
            "now": timestamp(self._time.wall_ms(self._time.now_ms)),
            "total": mailbox_index.live_count,
            "messages": mailbox_index.message_count,
            "bytes": mailbox_index.size_bytes,
            "expired": self._mailboxes.expired,
            "limit": limit,
        }

    def _living(self, after: bytes, limit: int) -> Iterator[list[Mailbox]]:
        """The living mailboxes behind an address, some at a time, and none while they are looked for: a
        million are never held at once. The store has them in order, but may have to pass many that ended."""
        most = min(limit + 1, MAX_FOUND)
        while True:
            found: list[bytes] = []
            for _ in self._look(after, found, most):
                yield []
            for start in range(0, len(found), RUN):
                mailboxes = map(self._mailbox_index.get, found[start : start + RUN])
                yield [mailbox for mailbox in mailboxes if mailbox is not None]
            if len(found) < most:
                return
            after = found[-1]

    def _look(self, after: bytes, found: list[bytes], most: int) -> Iterator[None]:
        """Fill `found` with the first `most` addresses behind `after`, looking at some places at a time."""
        places = place = self._mailbox_index.places
        while place > 0:
            bound = found[-1] if len(found) == most else None
            for address in self._mailbox_index.addresses_behind(after, bound, place, PLACES):
                at = bisect_left(found, address)
                if at == len(found) or found[at] != address:
                    found.insert(at, address)
            del found[most:]
            place -= PLACES
            if places != self._mailbox_index.places:
                places = place = self._mailbox_index.places
            yield

    def _entry(self, mailbox: Mailbox) -> Iterator[bytes]:
        groups = mailbox.queue_groups
        deadline = mailbox.renewed_ms + mailbox.ttl_seconds * 1000
        oldest = self._oldest_ms(mailbox)
        info = MailboxInfo(
            address=shown_address(mailbox),
            uid=mailbox.uid,
            public=mailbox.public,
            ttl=mailbox.ttl_seconds,
            expires=timestamp(self._time.wall_ms(deadline)) if mailbox.ttl_seconds else "",
            messages={name: mailbox.count_of(rank) for rank, name in enumerate(PRIORITIES)},
            bytes=mailbox.size_bytes,
            oldest_message="" if oldest is None else timestamp(self._time.wall_ms(oldest)),
            next_id=mailbox.next_id,
            subscribers=mailbox.source_count - len(groups),
        )
        yield from json_with(info, "groups", json_list(map(self._group, groups)))

    def _oldest_ms(self, mailbox: Mailbox) -> int | None:
        """When the oldest of its durable messages was accepted, in broker time; None if not known."""
        times = []
        for rank in range(len(PRIORITIES)):
            with suppress(CorruptRecord):
                messages = stored_messages(self._store, mailbox, rank, 0)
                times += [created_ms for _, created_ms, _, _ in islice(messages, 1)]
        return min(times, default=None)

    def _group(self, group: QueueGroup) -> GroupInfo:
        name = self._privacy.name(printable(group.name.decode("utf-8", "replace")))
        return GroupInfo(name, group.member_count, group.in_flight_count, group.returned_count)


class Cursors:
    """Where pages ended, by words that tell nothing: an address would be one that may not be shown."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, address: bytes) -> str:
        """A cursor for going on behind an address; the oldest is forgotten when there are too many."""
        cursor = secrets.token_urlsafe(12)
        self._places[cursor] = address
        if len(self._places) > MAX_CURSORS:
            self._places.popitem(last=False)
        return cursor

    def place(self, cursor: str) -> bytes | None:
        """The address that a cursor stands for, or None."""
        return self._places.get(cursor)
