"""A receipt for each end of a message that asked for it: one, and the right one."""

import json
from collections.abc import Iterator
from typing import Any

from tests.fault.history.excuses import ends, may_end
from tests.fault.history.model import Mailbox, Message, Model
from tests.fault.history.records import Request, Sighting, Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        told: dict[tuple[str, int], int] = {}
        for seen, _ in mailbox.sightings():
            if "Mq9-Receipt" not in seen.headers:
                continue
            receipt = json.loads(seen.text)
            about = receipt["mail_address"], receipt["msg_id"]
            if told.setdefault(about, seen.msg_id) != seen.msg_id:
                yield Violation("receipt", f"two receipts of {about}", [seen])
            if not _is_true(model, receipt, seen):
                yield Violation("receipt", f"nothing like {receipt} can have happened", [seen])
    for mailbox in model.mailboxes.values():
        for message in mailbox.messages:
            target = receipts_to(mailbox, message)
            if target is not None and message.msg_id is not None and len(mailbox.lives) < 2:
                yield from _is_told(mailbox, message, model.mailbox(target))


def receipts_to(mailbox: Mailbox, message: Message) -> str | None:
    found = message.headers.get("Mq9-Receipt-To") or mailbox.options.get("receipts_to")
    return str(found) if found else None


def _is_true(model: Model, receipt: dict[str, Any], seen: Sighting) -> bool:
    source = model.mailbox(receipt["mail_address"])
    endings = [request for request in source.endings.get(receipt["msg_id"], ()) if may_end(request)]
    is_term = [request.asked.get("body", "").startswith("+TERM") for request in endings]
    options = source.options
    if receipt["event"] == "settled" and not any(one.user == receipt.get("by", "") for one in endings):
        return False
    match receipt["event"]:
        case "settled" if receipt["how"] == "answered":
            return any(request.asked.get("uid") for request in endings)
        case "settled":
            return not all(is_term)
        case "expired":
            life = options.get("max_age") or options.get("ttl")
            return bool(life) or any("Nats-TTL" in one.headers for one in source.messages)
        case "dead":
            return any(is_term) or "max_deliver" in options or "dead_letter_expired" in options
        case "replaced":
            return options.get("discard") == "old" or any("Mq9-Key" in one.headers for one in source.messages)
    return False


def _is_told(mailbox: Mailbox, message: Message, target: Mailbox) -> Iterator[Violation]:
    """Once a client knows that the message was deleted, the receipt is stored."""
    for request in mailbox.endings.get(message.msg_id or 0, ()):
        if ends(request) and request.ended is not None:
            yield from _has_receipt(mailbox, message, target, request)


def _has_receipt(
    mailbox: Mailbox, message: Message, target: Mailbox, request: Request
) -> Iterator[Violation]:
    created = min((one.ended for one in target.creates if one.is_ok and one.ended), default=float("inf"))
    for listing in target.listings:
        if created < request.begun and listing.begun > request.ended and not listing.code:
            about = {"mail_address": mailbox.address, "msg_id": message.msg_id}.items()
            told = (json.loads(seen.text) for seen in listing.messages if "Mq9-Receipt" in seen.headers)
            if not any(about <= receipt.items() for receipt in told):
                yield Violation("receipt", f"no receipt of {mailbox.address}/{message.msg_id}", [request])
            return
