"""A delayed message is never early, and takes its place within a second; -NAK with a delay waits as long."""

import json
from collections.abc import Iterator

from tests.fault.history.model import CLOCK_ERROR, Mailbox, Model, is_delayed
from tests.fault.history.records import Listing, Request, Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        yield from _places(model, mailbox)
        for requests in mailbox.endings.values():
            for request in requests:
                if request.verb == "answer" and request.asked["body"].startswith("-NAK {"):
                    yield from _waits(model, mailbox, request)


def _places(model: Model, mailbox: Mailbox) -> Iterator[Violation]:
    for seen, by in mailbox.sightings():
        message = model.messages.get(seen.uid or "")
        if message is None or message.address != mailbox.address or not is_delayed(message.headers):
            continue
        until = by.ended if isinstance(by, Listing) else by.time
        early = model.earliest_place(message) - until
        if early > 0 and not seen.is_delayed:
            yield Violation("delay", f"{seen.uid} is {early:.3f} s early", [message.request, seen])
        # On a busy machine it may be late. At the end of a history nothing is.
        is_final = isinstance(by, Listing) and by.is_final
        if is_final and seen.is_delayed and by.begun > model.latest_place(message):
            yield Violation("delay", f"{seen.uid} is late", [message.request, seen])


def _waits(model: Model, mailbox: Mailbox, nak: Request) -> Iterator[Violation]:
    if mailbox.options.get("ack_wait") or nak.reply is None:
        return  # it may have come too late to count
    holder = model.subscriptions[model.deliveries[nak.asked["delivery"]].subscription]
    if holder.ended is not None and holder.ended <= nak.ended:
        return  # the member had given the message back before
    held_since = model.deliveries[nak.asked["delivery"]].since
    for other in mailbox.endings[nak.asked["msg_id"]]:
        ended = other.ended or nak.ended
        if other is not nak and other.client == nak.client and other.begun < nak.ended and ended > held_since:
            return  # without a token, an answer to an earlier delivery counts for this one
    delay = json.loads(nak.asked["body"][5:])["delay"] / 1e9
    due = nak.begun + delay - CLOCK_ERROR
    if any(
        fault.ends_connections and fault.begun < due and fault.ended > nak.begun
        for fault in model.history.faults
    ):
        return  # the broker may have ended before the delay was stored
    for delivery in mailbox.deliveries:
        group = model.subscriptions[delivery.subscription].group
        is_same = group and delivery.seen.msg_id == nak.asked["msg_id"]
        if is_same and nak.ended < delivery.since and delivery.time < due:
            early = due - delivery.time
            yield Violation("delay", f"given out {early:.3f} s early after -NAK", [nak, delivery])
