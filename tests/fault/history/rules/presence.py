"""What was acknowledged or shown stays until something ends it; what has ended does not come back."""

import itertools
from collections.abc import Iterator

from tests.fault.history.excuses import Excuses, ends
from tests.fault.history.model import Mailbox, Model, span
from tests.fault.history.records import Listing, Request, Violation


def check(model: Model) -> Iterator[Violation]:
    excuses = Excuses(model)
    for mailbox in model.mailboxes.values():
        yield from _mailbox_kept(model, mailbox)
    yield from _nothing_lost(model, excuses)
    yield from _nothing_returns(model)
    yield from _refused_is_not_stored(model)


def _mailbox_kept(model: Model, mailbox: Mailbox) -> Iterator[Violation]:
    for listing in mailbox.listings:
        if listing.code != "mailbox_not_found":
            continue
        certain = [create for create in mailbox.creates if create.is_ok and create.ended <= listing.begun]
        if certain and listing.ended < model.earliest_mailbox_end(mailbox, listing.begun):
            yield Violation("lost", f"mailbox {mailbox.address} is gone", [certain[-1], listing])
    for life, next_life in itertools.pairwise(sorted(mailbox.lives, key=lambda one: one.begun)):
        if next_life.ended < model.earliest_mailbox_end(mailbox, next_life.begun):
            yield Violation("lost", f"mailbox {mailbox.address} was made again", [life, next_life])


def _nothing_lost(model: Model, excuses: Excuses) -> Iterator[Violation]:
    shown = {id(listing): {seen.msg_id for seen in listing.messages} for listing in model.history.listings}
    for stored in model.stored.values():
        mailbox = stored.mailbox
        what = f"{mailbox.address}/{stored.msg_id} ({stored.uid[:80]})"
        for listing in mailbox.listings:
            if listing.begun < stored.since or listing.code not in ("", "mailbox_not_found"):
                continue
            if (
                stored.msg_id in shown[id(listing)]
                or mailbox.life_at(listing.begun, listing.ended) != stored.life
            ):
                continue
            if excuses.takes_place_within(stored, listing.begun, listing.ended):
                continue
            if not excuses.may_be_gone(stored, listing.ended):
                listing = Listing(**{**_fields(listing), "messages": []})
                facts = [stored.message.request] if stored.message else []
                yield Violation("lost", f"LIST does not show {what}", [*facts, listing])
            break  # once gone, it is gone
        for request in mailbox.endings.get(stored.msg_id, ()):
            if request.verb != "delete" or request.begun < stored.since or request.ended is None:
                continue
            if (
                request.reply != {"deleted": False}
                or mailbox.life_at(request.begun, request.ended) != stored.life
            ):
                continue
            if not excuses.may_be_gone(stored, request.ended):
                yield Violation("lost", f"DELETE does not find {what}", [request])


def _fields(listing: Listing) -> dict[str, object]:
    return {name: getattr(listing, name) for name in Listing.__slots__}


def _nothing_returns(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        ended = _certain_ends(mailbox)
        for seen, by in mailbox.sightings():
            since, until = span(by)
            life = mailbox.life_at(since, until)
            first = ended.get((life, seen.msg_id))
            if first is not None and since > first.ended:
                yield Violation(
                    "returned", f"{mailbox.address}/{seen.msg_id} was deleted and is back", [first, seen]
                )
        yield from _ended_twice(mailbox)


def _certain_ends(mailbox: Mailbox) -> dict[tuple[int | None, int], Request]:
    """The first request by life and msg_id to which the reply was that the message is deleted."""
    ended: dict[tuple[int | None, int], Request] = {}
    for msg_id, requests in mailbox.endings.items():
        for request in requests:
            if ends(request) and request.ended is not None:
                life = mailbox.life_at(request.begun, request.ended)
                if life is not None:
                    ended.setdefault((life, msg_id), request)
    return ended


def _ended_twice(mailbox: Mailbox) -> Iterator[Violation]:
    for (life, msg_id), first in _certain_ends(mailbox).items():
        for request in mailbox.endings[msg_id]:
            if request is first or request.ended is None or not ends(request):
                continue
            if mailbox.life_at(request.begun, request.ended) == life:
                yield Violation(
                    "ended twice", f"{mailbox.address}/{msg_id} was deleted twice", [first, request]
                )


def _refused_is_not_stored(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        for seen, _ in mailbox.sightings():
            message = model.messages.get(seen.uid or "")
            if message is not None and message.address == mailbox.address and message.is_refused:
                yield Violation("refused", f"{seen.uid} was refused and is stored", [message.request, seen])
