"""Ids rise, and each names one message for ever; each message has one id in a mailbox."""

from collections.abc import Iterator

from tests.fault.history.model import Mailbox, Model, span
from tests.fault.history.records import Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        yield from _rising(mailbox)
        yield from _one_name(model, mailbox)


def _rising(mailbox: Mailbox) -> Iterator[Violation]:
    """What is sent after a reply gets a larger id than that reply told."""
    lives: dict[int | None, list[tuple[float, int, int, object]]] = {}
    for message in mailbox.messages:
        if message.is_stored and message.msg_id is not None:
            life = lives.setdefault(mailbox.life_at(message.begun, message.acknowledged), [])
            # At one moment, replies count before sends.
            life.append((message.acknowledged, 0, message.msg_id, message.request))
            life.append((message.begun, 1, message.msg_id, message.request))
    lives.pop(None, None)
    for life in lives.values():
        latest, told_by = -1, None
        for _, is_send, msg_id, request in sorted(life, key=lambda entry: entry[:3]):
            if not is_send and msg_id > latest:
                latest, told_by = msg_id, request
            elif is_send and msg_id <= latest:
                yield Violation(
                    "ids", f"id {msg_id} of {mailbox.address} came after {latest}", [told_by, request]
                )


def _one_name(model: Model, mailbox: Mailbox) -> Iterator[Violation]:
    names: dict[tuple[int, int], str] = {}
    ids: dict[tuple[int, str], int] = {}

    def note(life: int | None, msg_id: int, uid: str, fact: object) -> Iterator[Violation]:
        if life is None:
            return
        if (former := names.setdefault((life, msg_id), uid)) != uid:
            yield Violation("ids", f"id {msg_id} of {mailbox.address} names {former!r} and {uid!r}", [fact])
        if (known := ids.setdefault((life, uid), msg_id)) != msg_id:
            yield Violation("twice", f"{uid!r} is in {mailbox.address} as {known} and as {msg_id}", [fact])

    for message in mailbox.messages:
        if message.is_stored and message.msg_id is not None:
            life = mailbox.life_at(message.begun, message.acknowledged)
            yield from note(life, message.msg_id, message.uid, message.request)
    for seen, by in mailbox.sightings():
        yield from note(mailbox.life_at(*span(by)), seen.msg_id, seen.uid or seen.text, seen)
