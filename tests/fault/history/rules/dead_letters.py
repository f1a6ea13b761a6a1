"""A dead letter is where it belongs, once, for a reason, and no longer where it was."""

from collections.abc import Iterator

from tests.fault.history.excuses import ends, may_end
from tests.fault.history.model import Mailbox, Message, Model, span
from tests.fault.history.records import Sighting, Violation


def check(model: Model) -> Iterator[Violation]:
    found: dict[str, dict[str, int]] = {}  # by mailbox: the id by its origin
    for mailbox in model.mailboxes.values():
        for seen, by in mailbox.sightings():
            origin = seen.headers.get("Mq9-Dead-From")
            if origin is None:
                continue
            known = found.setdefault(mailbox.address, {}).setdefault(origin, seen.msg_id)
            if known != seen.msg_id:
                yield Violation("dead letter", f"{origin} is in {mailbox.address} twice", [seen])
            yield from _belongs(model, mailbox, origin, seen, span(by)[1])
    for mailbox in model.mailboxes.values():
        target = mailbox.options.get("dead_letter")
        if target:
            yield from _terminated(model, mailbox, model.mailbox(target))
            yield from _gone_is_dead(model, mailbox, model.mailbox(target), found.get(target, {}))


def _belongs(
    model: Model, mailbox: Mailbox, origin: str, seen: Sighting, until: float
) -> Iterator[Violation]:
    """`until`: when the client had been shown the dead letter."""
    address, _, msg_id = origin.rpartition("/")
    source, message = model.mailbox(address), model.messages.get(seen.uid or "")
    if message is None or message.address != address or message.msg_id not in (None, int(msg_id)):
        yield Violation("dead letter", f"{origin} is another message", [seen])
        return
    if source.options.get("dead_letter") != mailbox.address:
        yield Violation("dead letter", f"{origin} does not belong into {mailbox.address}", [seen])
    if not _has_reason(model, source, message, int(msg_id), seen, until):
        yield Violation("dead letter", f"{origin} has no reason to be dead", [message.request, seen])


def _has_reason(
    model: Model, source: Mailbox, message: Message, msg_id: int, seen: Sighting, until: float
) -> bool:
    reason, options = seen.headers.get("Mq9-Dead-Reason"), source.options
    if reason == "max_deliver":
        return (
            bool(options.get("max_deliver")) and int(seen.headers["Mq9-Deliveries"]) == options["max_deliver"]
        )
    if reason == "terminated":
        return any(
            may_end(request) and request.asked.get("body", "").startswith("+TERM")
            for request in source.endings.get(msg_id, ())
        )
    is_over = until >= min(model.earliest_end(message), model.earliest_mailbox_end(source, until))
    return reason == "expired" and bool(options.get("dead_letter_expired")) and is_over


def _terminated(model: Model, mailbox: Mailbox, target: Mailbox) -> Iterator[Violation]:
    """After +TERM was acknowledged, the message is in the mailbox for dead letters."""
    for msg_id, requests in mailbox.endings.items():
        for request in requests:
            if ends(request) and request.asked.get("body", "").startswith("+TERM"):
                yield from _is_there(mailbox, target, msg_id, request.ended)


def _is_there(mailbox: Mailbox, target: Mailbox, msg_id: int, since: float) -> Iterator[Violation]:
    origin = f"{mailbox.address}/{msg_id}"
    for listing in target.listings:
        if listing.begun > since and not listing.code:
            if not any(seen.headers.get("Mq9-Dead-From") == origin for seen in listing.messages):
                yield Violation("dead letter", f"{origin} is not in {target.address}", [])
            return  # what happens to it later, rules/presence.py says


def _gone_is_dead(
    model: Model, mailbox: Mailbox, target: Mailbox, found: dict[str, int]
) -> Iterator[Violation]:
    """A message that is in its mailbox no more, and that nobody deleted, is a dead letter."""
    finals = [listing for listing in mailbox.listings if listing.is_final and not listing.code]
    if not finals or not any(one.is_final and one.begun > finals[-1].ended for one in target.listings):
        return
    left = {seen.msg_id for seen in finals[-1].messages}
    for message in mailbox.messages:
        if message.msg_id is None or not message.is_stored or message.acknowledged > finals[-1].begun:
            continue
        is_left, is_found = message.msg_id in left, f"{mailbox.address}/{message.msg_id}" in found
        may_expire = finals[-1].ended >= model.earliest_end(message) and not mailbox.options.get(
            "dead_letter_expired"
        )
        is_limited = {"max_messages", "max_bytes"} & mailbox.options.keys() or "Mq9-Key" in message.headers
        if is_left and is_found:
            yield Violation("dead letter", f"{message.uid} is dead and alive", [message.request])
        elif not (is_left or is_found or may_expire or is_limited) and not any(
            may_end(request) for request in mailbox.endings.get(message.msg_id, ())
        ):
            yield Violation("dead letter", f"{message.uid} is gone and no dead letter", [message.request])
