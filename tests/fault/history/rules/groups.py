"""A queue group never has a message with two members at a time."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from tests.fault.history.model import CLOCK_ERROR, Mailbox, Model
from tests.fault.history.records import Delivery, Request, Violation

# A broker may see the end of a connection this much earlier than the client.
CLOSE_SECONDS = 5


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        by_message = defaultdict(list)
        for delivery in mailbox.deliveries:
            group = model.subscriptions[delivery.subscription].group
            if group:
                life = mailbox.life_at(delivery.since, delivery.time)
                by_message[group, life, delivery.seen.msg_id].append(delivery)
        for (group, life, msg_id), deliveries in by_message.items():
            for first, second in itertools.pairwise(deliveries):
                if life is not None and not _was_given_back(model, mailbox, first, second):
                    facts = [model.subscriptions[one.subscription] for one in (first, second)]
                    what = f"{mailbox.address}/{msg_id} is with two members of {group}"
                    yield Violation("two members", what, [first, second, *facts])


def _was_given_back(model: Model, mailbox: Mailbox, first: Delivery, second: Delivery) -> bool:
    """Whether the first member may have lost the message before the second one got it."""
    holder = model.subscriptions[first.subscription]
    if holder.ended is not None:
        slack = CLOSE_SECONDS if holder.is_lost else 0
        if holder.ended <= second.time + slack:
            return True
    if any(
        fault.ends_connections and first.since <= fault.ended and fault.begun <= second.time
        for fault in model.history.faults
    ):
        return True
    answers = [
        request
        for request in mailbox.endings.get(first.seen.msg_id, ())
        if request.verb == "answer" and request.client == holder.client and request.begun <= second.time
    ]
    # Without a token, the answer to an earlier delivery counts for the present one of the connection.
    if any(
        request.asked["body"].startswith("-NAK") and (request.ended or second.time) >= first.since
        for request in answers
    ):
        return True
    return second.time >= _earliest_time_out(mailbox, first, answers)


def _earliest_time_out(mailbox: Mailbox, held: Delivery, answers: list[Request]) -> float:
    """Before this moment `ack_wait` is not over."""
    ack_wait = mailbox.options.get("ack_wait") or float("inf")
    # Only a restart that the broker is known to have seen in time counts.
    begun = held.since
    for request in answers:
        if request.asked["delivery"] != held.number:
            continue
        if request.asked["body"] == "+WPI" and request.ended is not None and request.ended < begun + ack_wait:
            begun = request.begun
    return float(begun + ack_wait - CLOCK_ERROR)
