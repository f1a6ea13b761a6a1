"""A subscription gets each message once, the most urgent first, and the oldest first within a priority."""

from collections import defaultdict
from collections.abc import Iterator

from tests.fault.history.model import RANKS, Mailbox, Model, is_delayed
from tests.fault.history.records import Delivery, Subscription, Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        deliveries = defaultdict(list)
        for delivery in mailbox.deliveries:
            deliveries[delivery.subscription].append(delivery)
        for subscription in mailbox.subscriptions:
            if not subscription.group:
                yield from _check(model, mailbox, subscription, deliveries[subscription.number])


def _check(
    model: Model, mailbox: Mailbox, subscription: Subscription, deliveries: list[Delivery]
) -> Iterator[Violation]:
    stored = model.stored
    got: set[tuple[int | None, int]] = set()
    newest: dict[tuple[int | None, str], Delivery] = {}
    # The first delivery of a less urgent priority, by life and rank.
    less_urgent: dict[tuple[int | None, int], Delivery] = {}
    for delivery in deliveries:
        seen = delivery.seen
        life = mailbox.life_at(delivery.since, delivery.time)
        if life is None:
            continue
        if (life, seen.msg_id) in got:
            yield Violation(
                "twice", f"{mailbox.address}/{seen.msg_id} was delivered twice", [subscription, delivery]
            )
        got.add((life, seen.msg_id))
        if is_delayed(seen.headers) and "Mq9-Dead-From" not in seen.headers:
            continue  # its place is not its msg_id
        former = newest.setdefault((life, seen.priority), delivery)
        if former.seen.msg_id > seen.msg_id:
            yield Violation(
                "order",
                f"{mailbox.address}: {former.seen.msg_id} came before {seen.msg_id}",
                [former, delivery],
            )
        newest[life, seen.priority] = delivery
        rank = RANKS[seen.priority]
        known = stored.get((mailbox.address, life, seen.msg_id))
        message = known.message if known else None
        if message is not None and message.acknowledged < subscription.begun:
            overtaken_by = [one for (at, lower), one in less_urgent.items() if at == life and lower > rank]
            if overtaken_by:
                yield Violation("order", f"{seen.uid} is more urgent", [overtaken_by[0], delivery])
        less_urgent.setdefault((life, rank), delivery)
