"""Makes the pages of the bulletin board, which is LIST without an address: public mailboxes, as JSON.

`mailbox/commands.py` calls `Board.page`. This module reads the mailbox index and the store, and changes
nothing.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec

from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.mailbox.mailbox_index import MailboxIndex
from mq9fast._core.protocol.address import MAILBOX_PREFIX, PRIORITIES
from mq9fast._core.pubsub.client import Client
from mq9fast._core.storage.record import CorruptRecord
from mq9fast.errors import CommandError, StoreError
from mq9fast.mailbox.board_cursor import BoardCursors
from mq9fast.mailbox.details import create_time, cut_text, expires_at
from mq9fast.mailbox.listed_message import encode_message
from mq9fast.mailbox.listing import MAX_PAGE_BYTES, newest_first
from mq9fast.storage.store import Store

LIST_PREFIX = MAILBOX_PREFIX.encode() + b"LIST."
# About the size of a page without its mailboxes: braces, names and a cursor.
FRAME_BYTES = 320
# A page does about this much work at most, which takes a millisecond or two. Passing a mailbox is 1, whether
# the client may see it or not. Reading its newest message is as much work as passing LATEST_WORK mailboxes.
MAX_WORK = 256
LATEST_WORK = 8
# The bytes of messages that are as much work to read as it is to pass a mailbox.
WORK_BYTES = 256


class BoardRequest(msgspec.Struct, frozen=True):
    """The request of LIST without an address (docs/protocol.md). Every field may be missing."""

    prefix: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    cursor: str | None = None
    with_latest: bool = False


class BoardEntry(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One mailbox of a page. Times are whole Unix seconds."""

    mail_address: str
    desc: str = ""
    total: int
    ttl: int
    expires_at: int | None = None
    create_time: int | None = None
    latest: msgspec.Raw | None = None


class Board:
    """Makes pages of at most `page_bytes()`, which is the broker's max_payload.

    `read_bytes`: the size of all headers and payloads that were read so far, and WORK_BYTES for each unit of
    other work.
    """

    def __init__(
        self, mailbox_index: MailboxIndex, store: Store, page_bytes: Callable[[], int], time: BrokerTime
    ) -> None:
        self._mailbox_index = mailbox_index
        self._store = store
        self._page_bytes = page_bytes
        self._time = time
        self._cursors = BoardCursors()
        self.read_bytes = 0

    def _most_bytes(self) -> int:
        return min(self._page_bytes(), MAX_PAGE_BYTES) - FRAME_BYTES

    def page(self, client: Client, request: BoardRequest) -> bytes:
        """The JSON of one page for a client. Raises CommandError bad_request or store_unavailable."""
        passed = b"" if request.cursor is None else self._cursors.read(request.cursor)
        try:
            entries, after = self._entries(client, request, passed)
        except StoreError:
            raise CommandError("store_unavailable") from None
        body = b'{"mailboxes":[%b]' % b",".join(entries)
        return body + (b"}" if after is None else b',"next":"%b"}' % after)

    def _entries(
        self, client: Client, request: BoardRequest, passed: bytes
    ) -> tuple[list[bytes], bytes | None]:
        """The encoded mailboxes of a page behind the address `passed`, and the cursor of the next page, None
        if there is none."""
        entries: list[bytes] = []
        bytes_left = self._most_bytes()
        read_before = self.read_bytes
        is_shown = True
        prefix = (request.prefix or "").encode()
        # The least string behind an address is that address and a zero byte.
        start = max(prefix, passed + b"\0")
        for address in self._mailbox_index.public_from(start, MAX_WORK + 1):
            if not address.startswith(prefix):
                return entries, None
            is_full = self.read_bytes - read_before >= MAX_WORK * WORK_BYTES or len(entries) == request.limit
            if is_full:
                return entries, self._cursors.write(passed, is_shown=is_shown)
            self.read_bytes += WORK_BYTES
            mailbox = self._mailbox_index.get(address)
            may_see = mailbox is not None and client.may_publish(LIST_PREFIX + address)
            if mailbox is not None and may_see:
                entry = self._encode(mailbox, with_latest=request.with_latest)
                bytes_left -= len(entry) + 1
                if bytes_left < 0 and entries:
                    return entries, self._cursors.write(passed, is_shown=is_shown)
                entries.append(entry)
            passed, is_shown = address, may_see
        return entries, None

    def _encode(self, mailbox: Mailbox, *, with_latest: bool) -> bytes:
        """Encode one mailbox. What does not fit a page of its description is cut, and the payload of its
        newest message is omitted if that is too long."""
        entry = BoardEntry(
            mail_address=mailbox.address.decode(),
            total=mailbox.total_count,
            ttl=mailbox.ttl_seconds,
            expires_at=expires_at(mailbox, self._time),
            create_time=create_time(mailbox, self._time),
        )
        room = self._most_bytes() - len(msgspec.json.encode(entry)) - len('"desc":,"latest":,,')
        if mailbox.description is not None:
            entry.desc = cut_text(mailbox.description.decode(), room // 2 if with_latest else room)
            room -= len(msgspec.json.encode(entry.desc))
        if with_latest:
            latest = self._latest(mailbox, room)
            entry.latest = None if latest is None else msgspec.Raw(latest)
        return msgspec.json.encode(entry)

    def _latest(self, mailbox: Mailbox, most_bytes: int) -> bytes | None:
        """The newest message, encoded in at most `most_bytes`; None if there is none, or it is corrupt."""
        self.read_bytes += LATEST_WORK * WORK_BYTES
        ranks = range(len(PRIORITIES))
        try:
            for rank, message in newest_first(self._store, mailbox, ranks, 0, mailbox.durable_id):
                _, _, header, payload, *_ = message
                self.read_bytes += len(header) + len(payload)
                return encode_message(rank, message, self._time, most_bytes)
        except CorruptRecord:
            pass
        return None
