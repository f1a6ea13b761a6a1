"""A Nats-Msg-Id is stored once in its window; of a key, the newest message alone."""

from collections import defaultdict
from collections.abc import Iterator

from tests.fault.history.model import Mailbox, Message, Model
from tests.fault.history.records import Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        if len(mailbox.lives) < 2:
            yield from _msg_ids(model, mailbox)
        if not any(one.group for one in mailbox.subscriptions):
            yield from _keys(mailbox)


def _msg_ids(model: Model, mailbox: Mailbox) -> Iterator[Violation]:
    shown = {seen.uid for seen, _ in mailbox.sightings()}
    window = mailbox.options.get("duplicate_window", 120)
    by_id: dict[str, list[Message]] = defaultdict(list)
    for message in mailbox.messages:
        if "Nats-Msg-Id" in message.headers:
            by_id[message.headers["Nats-Msg-Id"]].append(message)
    for msg_id, messages in by_id.items():
        first, last = messages[0].begun, max(one.request.ended or one.begun for one in messages)
        stored = [one for one in messages if one.is_stored or one.uid in shown]
        if len(stored) > 1 and last - first < window:
            facts = [one.request for one in stored]
            yield Violation(
                "repeat", f"Nats-Msg-Id {msg_id} is stored {len(stored)} times in its window", facts
            )
        told = {one.msg_id for one in stored if one.msg_id is not None}
        for one in messages:
            reply = one.request.reply or {}
            if "duplicate" in reply and told and reply["msg_id"] not in told:
                yield Violation(
                    "repeat", f"Nats-Msg-Id {msg_id}: the reply names another message", [one.request]
                )


def _keys(mailbox: Mailbox) -> Iterator[Violation]:
    for listing in mailbox.listings:
        found: dict[str, int] = {}
        for seen in listing.messages:
            key = seen.headers.get("Mq9-Key")
            if key is not None and "Mq9-Dead-From" not in seen.headers:
                if key in found:
                    yield Violation(
                        "key", f"{mailbox.address} has {found[key]} and {seen.msg_id} with key {key}", [seen]
                    )
                found[key] = seen.msg_id
