"""/mailboxz: how many mailboxes and messages there are, and the mailboxes in the order of their addresses.

It reads the mailbox index, and from the store the oldest message of each mailbox on the page.
"""

import secrets
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import ClassVar

import msgspec

from mq9fast._core.delivery.queue_group import QueueGroup
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.protocol.address import PRIORITIES
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.errors import StoreError
from mq9fast.monitoring.broker_view import BrokerView
from mq9fast.monitoring.page import JSON, HttpError, Page, json_array, json_object
from mq9fast.monitoring.privacy import Privacy, address_or_mask
from mq9fast.monitoring.query import ListQuery, read_query, wrong_parameter
from mq9fast.monitoring.units import timestamp
from mq9fast.storage.store import Store
from mq9fast.text import printable

# Work that takes less than a millisecond: mailboxes on the page, and slots of the mailbox index that are
# searched.
MAILBOXES_PER_PIECE = 128
SLOTS_PER_PIECE = 256
# One search of the index finds at most this many addresses.
MAX_FOUND = 16384
MAX_CURSORS = 1024


class MailboxzQuery(ListQuery, frozen=True):
    """The parameters of /mailboxz."""

    cursor: str = ""

    expected: ClassVar[dict[str, str]] = {
        "limit": "a whole number of mailboxes",
        "cursor": f"the next of one of the last {MAX_CURSORS} pages that have one: start again without it",
    }


class MailboxInfo(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One mailbox. `uid` identifies it where its address is masked."""

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
    """A queue group. `in_flight`: messages given to a member and not answered. `returned`: messages that a
    member gave back, for another."""

    name: str
    members: int
    in_flight: int
    returned: int


class Mailboxz:
    """The page of one broker."""

    def __init__(self, broker: BrokerView, store: Store, privacy: Privacy) -> None:
        self._broker = broker
        self._time = broker.engine.time
        self._mailbox_index = broker.mailboxes.mailbox_index
        self._privacy = privacy
        self._store = store
        self._cursors = Cursors()

    def page(self, query_string: str) -> Page:
        """Raises HttpError: 400 at once, 503 while pieces are made, if the store cannot be read."""
        query = read_query(query_string, MailboxzQuery)
        after = self._cursors.address_of(query.cursor) if query.cursor else b""
        if after is None:
            raise wrong_parameter(MailboxzQuery, "cursor")
        return Page(200, JSON, self._pieces(query.max_entries, after))

    def _pieces(self, limit: int, after: bytes) -> Iterator[bytes]:
        yield msgspec.json.encode(self._totals(limit))[:-1] + b',"mailboxes":['
        count = 0
        last = b""
        try:
            for mailboxes in self._live_mailboxes(after, limit):
                for mailbox in mailboxes:
                    if count == limit:
                        yield b'],"next":"%b"}' % self._cursors.issue(last).encode()
                        return
                    if count:
                        yield b","
                    yield from self._entry(mailbox)
                    last = mailbox.address
                    count += 1
                yield b""
            yield b"]}"
        except StoreError:
            raise HttpError(503, "The store could not be read: see /healthz.") from None

    def _totals(self, limit: int) -> dict[str, object]:
        mailbox_index = self._mailbox_index
        return {
            "server_id": self._broker.handshake.server_id,
            "now": timestamp(self._time.wall_ms(self._time.now_ms)),
            "total": mailbox_index.live_count,
            "messages": mailbox_index.message_count,
            "bytes": mailbox_index.size_bytes,
            "expired": self._broker.mailboxes.expired,
            "limit": limit,
        }

    def _live_mailboxes(self, after: bytes, limit: int) -> Iterator[list[Mailbox]]:
        """The live mailboxes after an address, in parts; a part is empty while the index is searched.

        Memory stays bounded with a million mailboxes: a search finds MAX_FOUND addresses, then the next one
        starts.
        """
        max_found = min(limit + 1, MAX_FOUND)
        while True:
            found: list[bytes] = []
            for _ in self._find_addresses(after, found, max_found):
                yield []
            for start in range(0, len(found), MAILBOXES_PER_PIECE):
                mailboxes = map(self._mailbox_index.get, found[start : start + MAILBOXES_PER_PIECE])
                yield [mailbox for mailbox in mailboxes if mailbox is not None]
            if len(found) < max_found:
                return
            after = found[-1]

    def _find_addresses(self, after: bytes, found: list[bytes], max_found: int) -> Iterator[None]:
        """Fill `found` with the first addresses after `after`. Yields after each part of the index."""
        slot_count = end_slot = self._mailbox_index.slot_count
        while end_slot > 0:
            bound = found[-1] if len(found) == max_found else None
            for address in self._mailbox_index.addresses_after(after, bound, end_slot, SLOTS_PER_PIECE):
                at = bisect_left(found, address)
                if at == len(found) or found[at] != address:
                    found.insert(at, address)
            del found[max_found:]
            end_slot -= SLOTS_PER_PIECE
            if slot_count != self._mailbox_index.slot_count:
                # The index grew, which moved its entries: search it again from the start.
                slot_count = end_slot = self._mailbox_index.slot_count
            yield

    def _entry(self, mailbox: Mailbox) -> Iterator[bytes]:
        groups = mailbox.queue_groups
        deadline = mailbox.renewed_ms + mailbox.ttl_seconds * 1000
        oldest = self._oldest_ms(mailbox)
        info = MailboxInfo(
            address=address_or_mask(mailbox),
            uid=mailbox.uid,
            public=mailbox.public,
            ttl=mailbox.ttl_seconds,
            expires=timestamp(self._time.wall_ms(deadline)) if mailbox.ttl_seconds else "",
            messages={name: mailbox.count_of(rank) for rank, name in enumerate(PRIORITIES)},
            bytes=mailbox.size_bytes,
            oldest_message="" if oldest is None else timestamp(self._time.wall_ms(oldest)),
            next_id=mailbox.next_id,
            subscribers=mailbox.consumer_count - len(groups),
        )
        yield from json_object(info, "groups", json_array(map(self._group, groups)))

    def _oldest_ms(self, mailbox: Mailbox) -> int | None:
        """When the oldest durable message was accepted, in broker time; None if none can be read."""
        times = []
        for rank in range(len(PRIORITIES)):
            with suppress(CorruptRecord):
                messages = stored_messages(self._store, mailbox, rank, 0)
                times += [created_ms for _, created_ms, *_ in islice(messages, 1)]
        return min(times, default=None)

    def _group(self, group: QueueGroup) -> GroupInfo:
        name = self._privacy.name(printable(group.name.decode("utf-8", "replace")))
        return GroupInfo(name, group.member_count, group.in_flight_count, group.returned_count)


class Cursors:
    """Cursors for the next page, as random tokens: an address in them would show a private one."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, bytes] = OrderedDict()

    def issue(self, address: bytes) -> str:
        """A cursor for the page after an address. Past MAX_CURSORS the oldest is forgotten."""
        cursor = secrets.token_urlsafe(12)
        self._addresses[cursor] = address
        if len(self._addresses) > MAX_CURSORS:
            self._addresses.popitem(last=False)
        return cursor

    def address_of(self, cursor: str) -> bytes | None:
        """The address that a cursor stands for, or None."""
        return self._addresses.get(cursor)
