"""Makes the pages of LIST: the messages of a mailbox in the order of delivery, as JSON.

`mailbox/commands.py` calls `Listing.page`. This module reads the store, and changes nothing.
"""

import heapq
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Literal

import msgspec

from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.delivery.failures import failed_deliveries
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.mailbox.stored_messages import (
    delayed_messages,
    find_message,
    messages_before,
    stored_messages,
)
from mq9fast._core.names import Names
from mq9fast._core.protocol.address import PRIORITIES
from mq9fast._core.storage.record import DELAYED_RANK
from mq9fast.errors import UNREADABLE, CommandError
from mq9fast.mailbox import list_cursor
from mq9fast.mailbox.details import Details
from mq9fast.mailbox.list_cursor import LARGEST_ID, Position
from mq9fast.mailbox.listed_message import NAME, Message, encode_message
from mq9fast.storage.store import Store

# About the size of a page without messages, address and details: braces, names, the total and a cursor.
FRAME_BYTES = 256
# A quarter of a page is kept for the details of the mailbox, if they need it.
DETAILS_SHARE = 4
# A page of several messages is at most this long, and at most this much is read for it. A longer page would
# block the event loop for too long.
MAX_PAGE_BYTES = 128 << 10

# A rank, and DELAYED_RANK more for a delayed message; a message.
RankedMessage = tuple[int, Message]


class ListRequest(msgspec.Struct, frozen=True):
    """The request of LIST (docs/protocol.md). Every field may be missing."""

    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    cursor: str | None = None
    msg_id: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_ID)] | None = None
    key: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    priority: Literal["critical", "urgent", "normal"] | None = None
    order: Literal["newest"] | None = None
    meta_only: bool = False

    def __post_init__(self) -> None:
        if self.msg_id is not None and self.cursor is not None:
            raise ValueError("'msg_id' lists one message: 'cursor' cannot be given as well")
        if self.key is not None and (self.msg_id is not None or self.cursor is not None):
            raise ValueError("'key' lists one message: 'msg_id' and 'cursor' cannot be given as well")

    @property
    def lists_all(self) -> bool:
        """Whether it asks for all messages, from the first page on."""
        return all(each is None for each in (self.cursor, self.msg_id, self.key, self.priority))


class Listing:
    """Makes pages of at most `page_bytes()`, which is the broker's max_payload.

    `find_key(mailbox, key)`: rank and id of the message with a key, or None; the rank of a delayed one is
    DELAYED_RANK more. `read_bytes`: the size of all headers and payloads that were read so far.
    """

    def __init__(
        self,
        mailbox_index: MailboxIndex,
        store: Store,
        names: Names,
        page_bytes: Callable[[], int],
        time: BrokerTime,
        find_key: Callable[[Mailbox, bytes], tuple[int, int] | None],
    ) -> None:
        self._mailbox_index = mailbox_index
        self._store = store
        self._names = names
        self._page_bytes = page_bytes
        self._time = time
        self._find_key = find_key
        self.read_bytes = 0

    def page(self, address: bytes, request: ListRequest) -> bytes:
        """The JSON of one page. Raises CommandError mailbox_not_found, bad_request or store_unavailable."""
        mailbox = self._mailbox_index.get(address)
        if mailbox is None:
            raise CommandError("mailbox_not_found")
        if mailbox.needs_reload:
            raise CommandError("store_unavailable")
        newest_first = request.order is not None
        if request.cursor is None:
            start = list_cursor.begin(mailbox, newest_first=newest_first)
        else:
            start = list_cursor.read(request.cursor, mailbox, newest_first=newest_first)
        try:
            return self._page(mailbox, request, start)
        except UNREADABLE:
            raise CommandError("store_unavailable") from None

    def _page(self, mailbox: Mailbox, request: ListRequest, start: Position) -> bytes:
        most_bytes = self._page_bytes() - FRAME_BYTES - len(mailbox.address)
        details = None
        if request.cursor is None:
            details = Details(mailbox, self._time, self._oldest(mailbox), most_bytes // DETAILS_SHARE)
        entries, after = self._entries(mailbox, request, start, most_bytes, details)
        # The count of the mailbox includes messages that are not durable yet, and so not listed. If the page
        # has all messages, their number is exact.
        is_complete = request.lists_all and after is None
        total = len(entries) if is_complete else mailbox.total_count
        parts = [b'{"mail_address":"%b","total":%d' % (mailbox.address, total)]
        if details is not None:
            entries_bytes = sum(len(entry) + 1 for entry in entries)
            parts.append(b',"mailbox":%b' % details.encode(most_bytes - entries_bytes))
        parts.append(b',"messages":[%b]' % b",".join(entries))
        if after is None:
            parts.append(b',"end":"%b"}' % list_cursor.write_end(mailbox, start))
        else:
            parts.append(b',"next":"%b"}' % list_cursor.write_next(mailbox, after))
        return b"".join(parts)

    def _entries(
        self,
        mailbox: Mailbox,
        request: ListRequest,
        start: Position,
        most_bytes: int,
        details: Details | None,
    ) -> tuple[list[bytes], Position | None]:
        """The encoded messages of a page from `start` on, and where the next page begins, None if there is
        none. They and the `details` take at most `most_bytes`."""
        entries: list[bytes] = []
        bytes_left = min(most_bytes, MAX_PAGE_BYTES) - (details.bytes if details else 0)
        first_bytes_left = most_bytes - details.fixed_bytes if details else sys.maxsize
        read_before = self.read_bytes
        for rank, message in self._messages(mailbox, request, start):
            msg_id, _, header, payload, *_ = message
            # Newest first, the next page begins below an id. Delayed messages ascend in any case.
            below = start.newest_first and rank < DELAYED_RANK
            after = start._replace(rank=rank, msg_id=msg_id + below)
            if len(entries) == request.limit:
                return entries, after
            self.read_bytes += len(header) + len(payload)
            if entries and self.read_bytes - read_before > MAX_PAGE_BYTES:
                return entries, after
            entry = encode_message(
                rank,
                message,
                self._time,
                most_bytes,
                meta_only=request.meta_only,
                deliveries=failed_deliveries(self._store, mailbox, msg_id),
            )
            bytes_left -= len(entry) + 1
            if bytes_left < 0 and (entries or len(entry) >= first_bytes_left):
                return entries, after
            entries.append(entry)
        return entries, None

    def _messages(self, mailbox: Mailbox, request: ListRequest, start: Position) -> Iterator[RankedMessage]:
        """The messages to list from `start` on, with their ranks."""
        ranks = range(len(PRIORITIES))
        if request.priority is not None:
            rank = PRIORITIES.index(request.priority)
            ranks = range(rank, rank + 1)
        if request.msg_id is not None:
            yield from self._named(mailbox, ranks, request.msg_id)
            return
        if request.key is not None:
            yield from self._with_key(mailbox, ranks, request.key.strip(" \t").encode())
            return
        if start.rank >= DELAYED_RANK:
            pass
        elif start.newest_first:
            yield from newest_first(self._store, mailbox, ranks, start.first, start.msg_id)
        else:
            for rank in ranks[max(start.rank - ranks.start, 0) :]:
                first = start.msg_id if rank == start.rank else start.first
                for message in stored_messages(self._store, mailbox, rank, first, start.end):
                    yield rank, message
        if start.first == 0:
            yield from self._delayed(mailbox, ranks, start)

    def _delayed(self, mailbox: Mailbox, ranks: range, start: Position) -> Iterator[RankedMessage]:
        """The delayed messages to list from `start` on."""
        for rank in ranks:
            if rank + DELAYED_RANK >= start.rank:
                first = start.msg_id if rank + DELAYED_RANK == start.rank else 0
                for message in delayed_messages(self._store, mailbox, rank, first, start.end):
                    yield rank + DELAYED_RANK, message

    def _named(self, mailbox: Mailbox, ranks: range, msg_id: int) -> Iterator[RankedMessage]:
        """The message with this msg_id, if it has one of these ranks."""
        place = self._names.find(mailbox, msg_id)
        for rank in ranks:
            message = find_message(self._store, mailbox, rank, place)
            if message is not None and message[NAME] == msg_id:
                yield rank, message
            for delayed in delayed_messages(self._store, mailbox, rank, msg_id, msg_id + 1):
                yield rank + DELAYED_RANK, delayed

    def _with_key(self, mailbox: Mailbox, ranks: range, key: bytes) -> Iterator[RankedMessage]:
        """The message with this key, if it has one of these ranks."""
        rank, place = self._find_key(mailbox, key) or (-1, 0)
        if rank in ranks:
            message = find_message(self._store, mailbox, rank, place)
            if message is not None:
                yield rank, message
        elif rank - DELAYED_RANK in ranks:
            for delayed in delayed_messages(self._store, mailbox, rank - DELAYED_RANK, place, place + 1):
                yield rank, delayed

    def _oldest(self, mailbox: Mailbox) -> int | None:
        """When the oldest message of the mailbox was accepted, in Unix seconds; None if it has none."""
        times = []
        for rank in range(len(PRIORITIES)):
            for _, created_ms, header, payload, _ in islice(
                stored_messages(self._store, mailbox, rank, 0), 1
            ):
                self.read_bytes += len(header) + len(payload)
                times.append(created_ms)
        return self._time.wall_ms(min(times)) // 1000 if times else None


def newest_first(
    store: Store, mailbox: Mailbox, ranks: range, first: int, end: int
) -> Iterator[RankedMessage]:
    """The durable messages of some ranks with ids from `first` up to but not `end`, the newest first.

    Raises StoreError or CorruptRecord.
    """

    def of_rank(rank: int) -> Iterator[RankedMessage]:
        for message in messages_before(store, mailbox, rank, first, end):
            yield rank, message

    return heapq.merge(*map(of_rank, ranks), key=lambda ranked: ranked[1][0], reverse=True)
