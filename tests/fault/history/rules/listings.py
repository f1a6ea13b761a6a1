"""LIST agrees with what was sent, in the order of delivery; subscribers get what it shows."""

from collections.abc import Iterator

from tests.fault.history.model import RANKS, Mailbox, Model, is_delayed
from tests.fault.history.records import Listing, Sighting, Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        for listing in mailbox.listings:
            yield from _order(model, listing)
            yield from _total(mailbox, listing)
            if listing.is_final:
                yield from _delivered(mailbox, listing)
        for seen, _ in mailbox.sightings():
            yield from _as_sent(model, mailbox, seen)


def _order(model: Model, listing: Listing) -> Iterator[Violation]:
    ids = [seen.msg_id for seen in listing.messages]
    if len(set(ids)) < len(ids):
        yield Violation("list", f"LIST of {listing.address} shows a message twice: {ids}")
    # A message that was delayed keeps its msg_id, and has a later place than that says.
    places = [
        (3 if seen.is_delayed else RANKS[seen.priority], 0 if _was_delayed(seen) else seen.msg_id)
        for seen in listing.messages
    ]
    ranks = [rank for rank, _ in places]
    undelayed = [
        place for place, seen in zip(places, listing.messages, strict=True) if not _was_delayed(seen)
    ]
    if ranks != sorted(ranks) or undelayed != sorted(undelayed):
        yield Violation("list", f"LIST of {listing.address} is out of order: {places}")


def _was_delayed(seen: Sighting) -> bool:
    return is_delayed(seen.headers) and "Mq9-Dead-From" not in seen.headers


def _total(mailbox: Mailbox, listing: Listing) -> Iterator[Violation]:
    shown = len(listing.messages)
    if listing.code:
        return
    # What has expired may be counted for a second. While clients work, a total of several pages includes
    # changes that are not durable yet.
    expires = "max_age" in mailbox.options or any("Nats-TTL" in one.headers for one in mailbox.messages)
    if listing.is_final and not expires and shown != listing.total:
        yield Violation("list", f"LIST of {listing.address} shows {shown} messages of {listing.total}")


def _as_sent(model: Model, mailbox: Mailbox, seen: Sighting) -> Iterator[Violation]:
    if seen.uid is None:
        if "Mq9-Receipt" not in seen.headers:
            yield Violation("content", f"{mailbox.address}/{seen.msg_id} is not what anybody sent", [seen])
        return
    message = model.messages.get(seen.uid)
    is_elsewhere = message is not None and message.address != mailbox.address
    if message is None or (is_elsewhere and "Mq9-Dead-From" not in seen.headers):
        yield Violation("content", f"{seen.uid} was not sent to {mailbox.address}", [seen])
    elif message.priority != seen.priority or not message.headers.items() <= seen.headers.items():
        yield Violation(
            "content", f"{seen.uid} has another priority or other headers", [message.request, seen]
        )


def _delivered(mailbox: Mailbox, listing: Listing) -> Iterator[Violation]:
    """Every plain subscription got everything that is there at the end."""
    for subscription in mailbox.subscriptions:
        if subscription.group or (subscription.ended is not None and subscription.ended < listing.ended):
            continue
        got = {one.seen.msg_id for one in mailbox.deliveries if one.subscription == subscription.number}
        for seen in listing.messages:
            wanted = subscription.priority in ("", "*", seen.priority) and not seen.is_delayed
            if wanted and seen.msg_id not in got:
                yield Violation("not delivered", f"{mailbox.address}/{seen.msg_id}", [subscription, seen])
