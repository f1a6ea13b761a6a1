"""A mailbox holds no more than its limits, and refuses only what does not fit."""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from tests.fault.history.excuses import ends
from tests.fault.history.model import FOREVER, Mailbox, Message, Model, least_bytes, most_bytes
from tests.fault.history.records import Listing, Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        most_messages = mailbox.options.get("max_messages") or FOREVER
        most = mailbox.options.get("max_bytes") or FOREVER
        if min(most_messages, most) == FOREVER:
            continue
        for listing in mailbox.listings:
            yield from _holds(model, listing, most_messages, most)
        if mailbox.options.get("discard") != "old" and len(mailbox.lives) < 2:
            yield from _refuses(mailbox, most_messages, most)


def _holds(model: Model, listing: Listing, most_messages: float, most: float) -> Iterator[Violation]:
    count, size = len(listing.messages), 0
    for seen in listing.messages:
        message = model.messages.get(seen.uid or "")
        size += least_bytes(message) if message else 0
        size += sum(len(name) + len(value) for name, value in seen.headers.items())
    if count > most_messages or size > most:
        yield Violation("limit", f"{listing.address} has {count} messages of {size} bytes or more")


def _refuses(mailbox: Mailbox, most_messages: float, most: float) -> Iterator[Violation]:
    refused = [one for one in mailbox.messages if _code(one) == "limit_exceeded"]
    others = [one for one in mailbox.messages if _code(one) not in ("limit_exceeded", "duplicate")]
    begun, begun_bytes = _sums([(one.begun, most_bytes(one)) for one in others])
    gone, gone_bytes = _sums([(_gone(mailbox, one), most_bytes(one)) for one in others])
    for message in refused:
        assert message.request.ended is not None
        came, left = bisect_right(begun, message.request.ended), bisect_left(gone, message.begun)
        count, size = came - left, begun_bytes[came] - gone_bytes[left]
        if count < most_messages and size + most_bytes(message) <= most:
            what = f"{mailbox.address} has at most {count} messages of {size} bytes, and refuses another one"
            yield Violation("limit", what, [message.request])


def _sums(changes: list[tuple[float, int]]) -> tuple[list[float], list[int]]:
    """The moments in order, and how many bytes there are before each of them, and after the last."""
    changes.sort()
    return [moment for moment, _ in changes], [0, *itertools.accumulate(size for _, size in changes)]


def _code(message: Message) -> str:
    reply = message.request.reply or {}
    return "duplicate" if "duplicate" in reply else str(reply.get("code", ""))


def _gone(mailbox: Mailbox, message: Message) -> float:
    """When a client knew that the message was deleted."""
    if message.msg_id is None:
        return FOREVER
    requests = mailbox.endings.get(message.msg_id, ())
    return min((one.ended for one in requests if ends(one) and one.ended is not None), default=FOREVER)
