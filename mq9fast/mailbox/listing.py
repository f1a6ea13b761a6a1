"""Makes the pages of LIST: the messages of a mailbox in the order of delivery, as JSON.

`mailbox/commands.py` calls `Listing.page`. This module reads the store, and changes nothing.
"""

import base64
import binascii
from typing import Annotated

import msgspec

from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.mailbox.mailbox import Mailbox, MailboxIndex
from mq9fast._core.mailbox.stored_messages import stored_messages
from mq9fast._core.protocol.address import PRIORITIES
from mq9fast._core.protocol.headers import SENDER_START
from mq9fast.errors import UNREADABLE, CommandError
from mq9fast.storage.store import Store

CURSOR_BYTES = 9
# About the size of a page without its messages and address: braces, names, the total and a cursor.
FRAME_BYTES = 256
# A page of several messages is at most this long, and at most this much is read for it. A longer page would
# block the event loop for too long.
MAX_PAGE_BYTES = 128 << 10
# The JSON size of a longer text is counted before the text is encoded.
LONG_TEXT_BYTES = 65536
# Characters that take two bytes in JSON, and characters that take six.
ESCAPED = b'"\\\b\f\n\r\t'
CONTROLS = bytes(set(range(32)) - set(ESCAPED))


class ListRequest(msgspec.Struct, frozen=True):
    """The request of LIST (docs/protocol.md). Every field may be missing."""

    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    cursor: str | None = None


class Entry(msgspec.Struct, omit_defaults=True):
    """One message of a page. Exactly one of payload, payload_base64 and payload_omitted is set."""

    msg_id: int
    priority: str
    create_time: int
    size: int
    headers: dict[str, str | list[str]]
    sender: str = msgspec.field(default="", name="from")
    payload: str | None = None
    payload_base64: str | None = None
    payload_omitted: bool = False


class Listing:
    """Makes pages of at most `page_bytes`, which is the broker's max_payload.

    `read_bytes`: the size of all headers and payloads that were read so far.
    """

    def __init__(self, mailbox_index: MailboxIndex, store: Store, page_bytes: int, time: BrokerTime) -> None:
        self._mailbox_index = mailbox_index
        self._store = store
        self._page_bytes = page_bytes
        self._time = time
        self.read_bytes = 0

    def page(self, address: bytes, request: ListRequest) -> bytes:
        """The JSON of one page. Raises CommandError mailbox_not_found, bad_request or store_unavailable."""
        mailbox = self._mailbox_index.get(address)
        if mailbox is None:
            raise CommandError("mailbox_not_found")
        if mailbox.needs_reload:
            raise CommandError("store_unavailable")
        try:
            entries, after = self._entries(mailbox, request)
        except UNREADABLE:
            raise CommandError("store_unavailable") from None
        # The count of the mailbox includes messages that are not durable yet, and so not listed. If the page
        # has all messages, their number is exact.
        is_complete = request.cursor is None and after is None
        total = len(entries) if is_complete else mailbox.total_count
        parts = [
            b'{"mail_address":"%b","total":%d,"messages":[' % (address, total),
            b",".join(entries),
            b"]}" if after is None else b'],"next":"%b"}' % after,
        ]
        return b"".join(parts)

    def _entries(self, mailbox: Mailbox, request: ListRequest) -> tuple[list[bytes], bytes | None]:
        """The encoded messages of a page, and the cursor of the next page, None if there is none."""
        first_rank, first_id = (0, 0) if request.cursor is None else _read_cursor(request.cursor)
        entries: list[bytes] = []
        max_bytes = self._page_bytes - FRAME_BYTES - len(mailbox.address)
        bytes_left = min(max_bytes, MAX_PAGE_BYTES)
        read_before = self.read_bytes
        for rank in range(first_rank, len(PRIORITIES)):
            start = first_id if rank == first_rank else 0
            for message in stored_messages(self._store, mailbox, rank, start):
                msg_id, created_ms, header, payload = message
                if len(entries) == request.limit:
                    return entries, _write_cursor(rank, msg_id)
                self.read_bytes += len(header) + len(payload)
                if entries and self.read_bytes - read_before > MAX_PAGE_BYTES:
                    return entries, _write_cursor(rank, msg_id)
                entry = _encode(rank, message, self._time.wall_ms(created_ms), max_bytes)
                bytes_left -= len(entry) + 1
                if bytes_left < 0 and entries:
                    return entries, _write_cursor(rank, msg_id)
                entries.append(entry)
        return entries, None


def _encode(rank: int, message: tuple[int, int, bytes, bytes], wall_ms: int, max_bytes: int) -> bytes:
    """Encode one message, accepted at `wall_ms`, as JSON of at most `max_bytes`.

    If the message alone would not fit, its payload is omitted, its headers if that is not enough, and then
    its sender.
    """
    msg_id, _, header, payload = message
    headers = read_headers(header) if len(header) <= max_bytes else {}
    entry = Entry(msg_id, PRIORITIES[rank], wall_ms // 1000, len(payload), headers, _read_sender(header))
    _put_payload(entry, payload, max_bytes)
    encoded = msgspec.json.encode(entry)
    if len(encoded) <= max_bytes:
        return encoded
    entry.payload = entry.payload_base64 = None
    entry.payload_omitted = True
    encoded = msgspec.json.encode(entry)
    if len(encoded) > max_bytes:
        entry.headers = {}
        encoded = msgspec.json.encode(entry)
    if len(encoded) > max_bytes:
        entry.sender = ""
        encoded = msgspec.json.encode(entry)
    return encoded


def _put_payload(entry: Entry, payload: bytes, max_bytes: int) -> None:
    """Set the payload of an entry, or `payload_omitted` if it cannot fit into `max_bytes`."""
    if len(payload) <= max_bytes:
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            if len(payload) // 3 * 4 <= max_bytes:
                entry.payload_base64 = base64.b64encode(payload).decode()
                return
        else:
            if len(payload) <= LONG_TEXT_BYTES or _json_bytes(payload) <= max_bytes:
                entry.payload = text
                return
    entry.payload_omitted = True


def _json_bytes(text: bytes) -> int:
    """The size of a text in JSON, without quotes."""
    escaped = len(text) - len(text.translate(None, ESCAPED))
    controls = len(text) - len(text.translate(None, CONTROLS))
    return len(text) + escaped + 5 * controls


def _read_sender(block: bytes) -> str:
    """The name of the client that sent a message, as the broker stored it; "" if it had none."""
    if not block.startswith(SENDER_START):
        return ""
    name, _, _ = block[len(SENDER_START) :].partition(b"\r")
    return name.decode("utf-8", "replace")


def read_headers(block: bytes) -> dict[str, str | list[str]]:
    """The fields of a NATS header block (ADR-4), by name. A repeated name has the list of its values."""
    headers: dict[str, str | list[str]] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, text = line.partition(b":")
        if not colon:
            continue
        key, value = name.decode("utf-8", "replace"), text.strip().decode("utf-8", "replace")
        known = headers.get(key)
        if known is None:
            headers[key] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            headers[key] = [known, value]
    return headers


def _write_cursor(rank: int, msg_id: int) -> bytes:
    return base64.urlsafe_b64encode(bytes([rank]) + msg_id.to_bytes(8, "big"))


def _read_cursor(text: str) -> tuple[int, int]:
    try:
        cursor = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        cursor = b""
    if len(cursor) != CURSOR_BYTES or cursor[0] >= len(PRIORITIES) or cursor[1] >= 0x80:
        raise CommandError("bad_request", "The cursor was not issued by LIST.")
    return cursor[0], int.from_bytes(cursor[1:], "big")
