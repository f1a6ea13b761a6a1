"""Cursors of LIST: where a page begins, as text that clients send back.

`mailbox/listing.py` writes and reads them. Nothing here has any other effect.
"""

import base64
import binascii
import struct
import zlib
from typing import NamedTuple

from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast._core.protocol.address import PRIORITIES
from mq9fast._core.storage.record import DELAYED_RANK
from mq9fast.errors import CommandError

# Kind, rank, life of the mailbox, and three ids.
LAYOUT = struct.Struct(">BBIQQQ")
BY_PRIORITY, NEWEST_FIRST, END = range(3)
LARGEST_ID = (1 << 63) - 1


class Position(NamedTuple):
    """Where a page begins. The listing shows the ids from `first` up to but not `end`, on all of its pages.

    In the order of delivery, the page begins at `rank` and `msg_id`. Newest first, it begins at the largest
    id below `msg_id`, and `rank` has no meaning. Delayed messages are behind all others: `rank` is then
    DELAYED_RANK more, and the page begins at `msg_id`.
    """

    newest_first: bool
    rank: int
    msg_id: int
    first: int
    end: int


def begin(mailbox: Mailbox, *, newest_first: bool, first: int = 0) -> Position:
    """Where a listing of the messages with ids from `first` on begins."""
    end = mailbox.durable_id
    return Position(newest_first, 0, end if newest_first else first, first, end)


def write_next(mailbox: Mailbox, position: Position) -> bytes:
    """The cursor of the page that begins at `position`."""
    newest_first, rank, *ids = position
    kind = NEWEST_FIRST if newest_first else BY_PRIORITY
    return _encode(LAYOUT.pack(kind, rank, _life(mailbox), *ids))


def write_end(mailbox: Mailbox, position: Position) -> bytes:
    """The cursor for what took its place since the listing of `position` began."""
    return _encode(LAYOUT.pack(END, 0, _life(mailbox), position.end, 0, 0))


def read(cursor: str, mailbox: Mailbox, *, newest_first: bool) -> Position:
    """The position of a cursor. Raises CommandError bad_request if LIST did not issue it, or issued it for
    another order.

    A cursor of a former mailbox with this address begins at the first message of this one. `newest_first`:
    the order that the request asks for.
    """
    kind, rank, life, msg_id, first, end = _decode(cursor)
    if kind == END:
        return begin(mailbox, newest_first=newest_first, first=msg_id if life == _life(mailbox) else 0)
    if newest_first and kind != NEWEST_FIRST:
        raise CommandError("bad_request", "The cursor is of a listing in another order.")
    if life != _life(mailbox):
        return begin(mailbox, newest_first=kind == NEWEST_FIRST)
    return Position(kind == NEWEST_FIRST, rank, msg_id, first, end)


def _life(mailbox: Mailbox) -> int:
    """Differs, almost certainly, for each mailbox. A uid itself would tell how many mailboxes there were."""
    return zlib.crc32(b"%b %d" % (mailbox.address, mailbox.uid))


def _encode(cursor: bytes) -> bytes:
    return base64.urlsafe_b64encode(cursor)


def _decode(text: str) -> tuple[int, int, int, int, int, int]:
    try:
        cursor = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        kind, rank, life, *ids = LAYOUT.unpack(cursor)
    except (UnicodeEncodeError, binascii.Error, struct.error):
        kind = rank = -1
        life, ids = 0, [0, 0, 0]
    is_rank = rank % DELAYED_RANK < len(PRIORITIES) and rank < 2 * DELAYED_RANK
    if not 0 <= kind <= END or not is_rank or max(ids) > LARGEST_ID:
        raise CommandError("bad_request", "The cursor was not issued by LIST.")
    return kind, rank, life, ids[0], ids[1], ids[2]
