"""A member holds no more messages than `max_in_flight` allows. Failed deliveries are counted, and after each
a message waits as long as `backoff` says."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from tests.fault.history.model import CLOCK_ERROR, FOREVER, Mailbox, Model
from tests.fault.history.records import Delivery, Request, Violation


def check(model: Model) -> Iterator[Violation]:
    for mailbox in model.mailboxes.values():
        given = [one for one in mailbox.deliveries if model.subscriptions[one.subscription].group]
        if limit := _limit(mailbox):
            yield from _holds_few(model, mailbox, given, limit)
        yield from _counts_rise(model, mailbox, given)


def _limit(mailbox: Mailbox) -> int:
    options = mailbox.options
    default = 1 if options.get("ack_wait") or options.get("max_deliver") else 0
    return int(options.get("max_in_flight", default))


def _holds_few(model: Model, mailbox: Mailbox, given: list[Delivery], limit: int) -> Iterator[Violation]:
    by_member = defaultdict(list)
    for delivery in given:
        by_member[delivery.subscription].append(delivery)
    for deliveries in by_member.values():
        for number, newest in enumerate(deliveries):
            held = [one for one in deliveries[:number] if _is_held(model, mailbox, one, newest)]
            if len(held) >= limit:
                what = (
                    f"a member of {mailbox.address} holds {len(held) + 1} messages, and {limit} is the limit"
                )
                yield Violation("in flight", what, [*held, newest])


def _is_held(model: Model, mailbox: Mailbox, earlier: Delivery, later: Delivery) -> bool:
    """Whether the member certainly held the first message when it was sent the second one."""
    seen = earlier.seen
    message = model.messages.get(seen.uid or "")
    ack_wait = mailbox.options.get("ack_wait") or FOREVER
    return (
        earlier.time <= later.since
        and later.time < earlier.since + ack_wait - CLOCK_ERROR
        and message is not None
        and later.time < min(model.earliest_end(message), model.earliest_mailbox_end(mailbox, later.time))
        and not any(request.begun <= later.time for request in mailbox.endings.get(seen.msg_id, ()))
    )


def _counts_rise(model: Model, mailbox: Mailbox, given: list[Delivery]) -> Iterator[Violation]:
    """The number of a delivery does not fall, and rises after each -NAK that counts for certain."""
    by_message = defaultdict(list)
    for delivery in given:
        life = mailbox.life_at(delivery.since, delivery.time)
        if life is not None:
            by_message[life, delivery.seen.msg_id].append(delivery)
    for (_, msg_id), deliveries in by_message.items():
        for first, second in itertools.pairwise(deliveries):
            if first.time > second.since:
                continue
            naks = [
                nak for nak in mailbox.endings.get(msg_id, ()) if _counts(model, mailbox, nak, first, second)
            ]
            least = _number(first) + bool(naks)
            if _number(second) < least:
                what = f"delivery {_number(second)} of {mailbox.address}/{msg_id} is at least the {least}th"
                yield Violation("deliveries", what, [first, *naks, second])
            early = first.since + _backoff(mailbox, first, second) - CLOCK_ERROR - second.time
            if early > 0:
                what = f"{mailbox.address}/{msg_id} is given out at least {early:.3f} s too early, by backoff"
                yield Violation("delay", what, [first, second])


def _backoff(mailbox: Mailbox, first: Delivery, second: Delivery) -> float:
    """How many seconds the message waits after the failure of the first delivery; 0 if not certain."""
    backoff = mailbox.options.get("backoff") or [0.0]
    waits = backoff if isinstance(backoff, list) else [backoff]
    answers = mailbox.endings.get(first.seen.msg_id, ())
    has_own = any(one.asked.get("body", "").startswith("-NAK {") for one in answers)
    if has_own or _number(second) != _number(first) + 1:
        return 0.0
    return float(waits[min(_number(first), len(waits)) - 1])


def _number(delivery: Delivery) -> int:
    return int(delivery.seen.headers.get("Mq9-Deliveries", 1))


def _counts(model: Model, mailbox: Mailbox, nak: Request, held: Delivery, later: Delivery) -> bool:
    """Whether this is a -NAK of the member that held the message, and counts before the later delivery."""
    if nak.verb != "answer" or not nak.is_ok or nak.asked["delivery"] != held.number:
        return False
    if mailbox.options.get("ack_wait") or not nak.asked["body"].startswith("-NAK"):
        return False  # with ack_wait it may have come too late
    ended, holder = nak.ended or FOREVER, model.subscriptions[held.subscription]
    if ended > later.since or (holder.ended is not None and holder.ended <= ended):
        return False
    for other in mailbox.endings[nak.asked["msg_id"]]:
        if other is not nak and other.begun < ended and (other.ended or FOREVER) > held.since:
            return False  # that request may have been carried out first
    # The store may have refused the count, which the broker then keeps until it ends.
    return not any(
        fault.ends_connections and fault.begun < later.time and fault.ended > nak.begun
        for fault in model.history.faults
    )
