"""What the first page of LIST shows of the mailbox itself, as JSON.

`mailbox/listing.py` makes `Details` for a page. This module reads counters in memory only.
"""

import msgspec

from mq9fast._core.base.broker_time import BrokerTime
from mq9fast._core.delivery.queue_group import QueueGroup
from mq9fast._core.mailbox.mailbox import Mailbox
from mq9fast.mailbox.options import show


class GroupDetails(msgspec.Struct, gc=False):
    """A queue group. `in_flight`: messages that members hold. `waiting`: those that no member holds."""

    name: str
    members: int
    in_flight: int
    waiting: int


class MailboxDetails(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The fields of a mailbox (docs/protocol.md). Times are whole Unix seconds."""

    public: bool
    desc: str = ""
    ttl: int
    expires_at: int | None = None
    create_time: int | None = None
    bytes: int
    oldest: int | None = None
    delayed: int = 0
    readers: int
    groups: list[msgspec.Raw]
    groups_omitted: int = 0
    options: dict[str, object] = {}


class Details:
    """The details of one mailbox. `oldest`: when its oldest message was accepted, in Unix seconds.

    To make them shorter, the description is cut and groups are left out. `fixed_bytes`: their size without
    both. `bytes`: the room to keep for them, which is at most `most_bytes` or `fixed_bytes`.
    """

    def __init__(self, mailbox: Mailbox, time: BrokerTime, oldest: int | None, most_bytes: int) -> None:
        groups = mailbox.queue_groups
        self._desc = (mailbox.description or b"").decode()
        self._group_count = len(groups)
        self._details = MailboxDetails(
            public=mailbox.public,
            desc=" ",
            ttl=mailbox.ttl_seconds,
            expires_at=expires_at(mailbox, time),
            create_time=create_time(mailbox, time),
            bytes=mailbox.size_bytes,
            oldest=oldest,
            delayed=mailbox.delayed_count,
            readers=mailbox.consumer_count - len(groups),
            groups=[],
            groups_omitted=len(groups),
            options=show(mailbox.options),
        )
        self.fixed_bytes = len(msgspec.json.encode(self._details))
        self._groups, self._groups_bytes = _first_groups(groups, most_bytes - self.fixed_bytes)
        self.bytes = len(self.encode(most_bytes))

    def encode(self, most_bytes: int) -> bytes:
        """The JSON, in at most `most_bytes` if that is possible."""
        room = most_bytes - self.fixed_bytes
        # If both are too long, each gets half of the room.
        desc = cut_text(self._desc, max(room // 2, room - self._groups_bytes))
        room -= len(msgspec.json.encode(desc))
        groups = []
        for group in self._groups:
            room -= len(group) + 1
            if room < 0:
                break
            groups.append(group)
        details = self._details
        details.desc = desc
        details.groups = [msgspec.Raw(group) for group in groups]
        details.groups_omitted = self._group_count - len(groups)
        return msgspec.json.encode(details)


def expires_at(mailbox: Mailbox, time: BrokerTime) -> int | None:
    """When the mailbox expires if nobody writes to it, in whole Unix seconds; None if it never does."""
    if not mailbox.ttl_seconds:
        return None
    return time.wall_ms(mailbox.renewed_ms + mailbox.ttl_seconds * 1000) // 1000


def create_time(mailbox: Mailbox, time: BrokerTime) -> int | None:
    """When the mailbox was created, in whole Unix seconds; None if that was before the store recorded it."""
    return time.wall_ms(mailbox.created_ms) // 1000 if mailbox.created_ms else None


def cut_text(text: str, most_bytes: int) -> str:
    """The longest beginning of a text that takes at most `most_bytes` in JSON, with its quotes."""
    if len(msgspec.json.encode(text)) <= most_bytes:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if len(msgspec.json.encode(text[:middle])) <= most_bytes:
            fits = middle
        else:
            too_long = middle
    return text[:fits]


def _first_groups(groups: list[QueueGroup], most_bytes: int) -> tuple[list[bytes], int]:
    """The JSON of the first groups, as many as fit into `most_bytes`, and its size."""
    found = []
    size = 0
    for group in groups:
        name = group.name.decode("utf-8", "replace")
        encoded = msgspec.json.encode(
            GroupDetails(name, group.member_count, group.unanswered_count, group.waiting_count)
        )
        if size + len(encoded) + 1 > most_bytes:
            break
        found.append(encoded)
        size += len(encoded) + 1
    return found, size
