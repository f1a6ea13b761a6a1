"""TTL is kept: nothing is seen after its life. That nothing goes before it, rules/presence.py says."""

from collections.abc import Iterator

from tests.fault.history.model import FOREVER, Mailbox, Model, span
from tests.fault.history.records import Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        yield from _mailbox_ends(mailbox)
        for seen, by in mailbox.sightings():
            message = model.messages.get(seen.uid or "")
            if message is None or message.address != mailbox.address:
                continue
            late = span(by)[0] - model.latest_end(message)
            if late > 0:
                yield Violation("ttl", f"{seen.uid} is seen {late:.3f} s too late", [message.request, seen])


def _mailbox_ends(mailbox: Mailbox) -> Iterator[Violation]:
    ttl = mailbox.options.get("ttl")
    if not ttl:
        return
    writes = [
        (request.begun, FOREVER if request.ended is None else request.ended)
        for request in [*mailbox.creates, *(message.request for message in mailbox.messages)]
        if not request.is_refused
    ]
    for listing in mailbox.listings:
        last = max((ended for begun, ended in writes if begun < listing.ended), default=-FOREVER)
        if not listing.code and listing.begun > last + ttl + 1:
            yield Violation(
                "ttl", f"mailbox {mailbox.address} lives {listing.begun - last - ttl:.3f} s too long", []
            )
