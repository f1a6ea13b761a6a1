"""Histories with one fault each, by the rule that finds it."""

from collections.abc import Callable

from tests.fault.history.records import Sighting
from tests.fault.history_builder import Builder, again, dead, receipt
from tests.fault.planted_events import PLANTED_EVENTS, receipt_by_another

Build = Callable[[Builder], None]


def acknowledged_is_gone(on: Builder) -> None:
    on.create()
    on.send(0)
    on.fault("power")
    on.list()


def delivered_without_a_reply_is_gone(on: Builder) -> None:
    on.create()
    to, seen = on.subscribe(), on.send(None)
    seen.msg_id = 0
    on.deliver(to, seen)
    on.list()


def mailbox_is_gone(on: Builder) -> None:
    on.create()
    on.list(code="mailbox_not_found")


def mailbox_is_made_again(on: Builder) -> None:
    on.create()
    on.send(0)
    on.create()


def delete_does_not_find_it(on: Builder) -> None:
    on.create()
    on.delete(on.send(0), deleted=False)


def deleted_is_back(on: Builder) -> None:
    on.create()
    seen = on.send(0)
    on.delete(seen)
    on.fault("kill")
    on.list(seen)


def deleted_is_delivered(on: Builder) -> None:
    on.create()
    seen, to = on.send(0), on.subscribe()
    on.delete(seen)
    on.deliver(to, seen)


def deleted_twice(on: Builder) -> None:
    on.create()
    seen = on.send(0)
    on.delete(seen)
    on.delete(seen)


def refused_is_stored(on: Builder) -> None:
    on.create()
    seen = on.send(0, reply={"error": "full", "code": "store_unavailable"})
    on.list(seen)


def id_is_given_again(on: Builder) -> None:
    on.create()
    on.delete(on.send(0))
    on.fault("kill")
    on.send(0)


def ids_fall(on: Builder) -> None:
    on.create()
    on.send(1)
    on.send(0)


def message_has_two_ids(on: Builder) -> None:
    on.create()
    seen = on.send(0)
    on.list(seen, Sighting("box", 1, "normal", seen.uid, {}))


def id_names_two_messages(on: Builder) -> None:
    on.create()
    on.send(0)
    seen = on.send(None)
    seen.msg_id = 0
    on.list(seen)


def older_comes_later(on: Builder) -> None:
    on.create()
    to, first, second = on.subscribe(), on.send(0), on.send(1)
    on.deliver(to, second)
    on.deliver(to, first)


def urgent_comes_later(on: Builder) -> None:
    on.create()
    urgent, normal = on.send(0, priority="urgent"), on.send(1)
    to = on.subscribe()
    on.deliver(to, normal)
    on.deliver(to, urgent)


def delivered_twice(on: Builder) -> None:
    on.create()
    to, seen = on.subscribe(), on.send(0)
    on.deliver(to, seen)
    on.deliver(to, seen)


def never_delivered(on: Builder) -> None:
    on.create()
    on.subscribe()
    on.list(on.send(0), is_final=True)


def two_members(on: Builder) -> None:
    on.create()
    one, two = on.subscribe("g"), on.subscribe("g")
    seen = on.send(0)
    on.deliver(one, seen)
    on.deliver(two, seen)


def lease_is_too_short(on: Builder) -> None:
    on.create(ack_wait=2)
    one, two = on.subscribe("g"), on.subscribe("g")
    seen = on.send(0)
    on.deliver(one, seen)
    on.pass_time(1.9)
    on.deliver(two, seen)


def progress_is_forgotten(on: Builder) -> None:
    on.create(ack_wait=1)
    one, two = on.subscribe("g"), on.subscribe("g")
    seen = on.send(0)
    held = on.deliver(one, seen)
    on.pass_time(0.7)
    on.answer(held, "+WPI")
    on.pass_time(0.7)
    on.deliver(two, seen)


def nak_does_not_wait(on: Builder) -> None:
    on.create()
    one, two = on.subscribe("g"), on.subscribe("g")
    seen = on.send(0)
    on.answer(on.deliver(one, seen), '-NAK {"delay": 1000000000}')
    on.pass_time(0.8)
    on.deliver(two, seen)


def too_many_in_flight(on: Builder) -> None:
    on.create(max_in_flight=2)
    one = on.subscribe("g")
    for number in range(3):
        on.deliver(one, on.send(number))


def leased_without_a_limit(on: Builder) -> None:
    on.create(ack_wait=5)
    one = on.subscribe("g")
    on.deliver(one, on.send(0))
    on.deliver(one, on.send(1))


def failure_is_not_counted(on: Builder) -> None:
    on.create()
    one = on.subscribe("g")
    seen = on.send(0)
    on.answer(on.deliver(one, seen), "-NAK")
    on.deliver(one, seen)


def failures_are_forgotten(on: Builder) -> None:
    on.create()
    one, two = on.subscribe("g"), on.subscribe("g")
    seen = on.send(0)
    on.deliver(one, again(seen, 3))
    one.ended = on.time
    on.deliver(two, again(seen, 2))


def backoff_is_skipped(on: Builder) -> None:
    on.create(backoff=[0, 1])
    one = on.subscribe("g")
    seen = on.send(0)
    on.answer(on.deliver(one, seen), "-NAK")
    on.answer(on.deliver(one, again(seen, 2)), "-NAK")
    on.pass_time(0.5)
    on.deliver(one, again(seen, 3))


def message_outlives_its_ttl(on: Builder) -> None:
    on.create()
    seen = on.send(0, headers={"Nats-TTL": "1s"})
    on.pass_time(2.1)
    on.list(seen)


def message_dies_before_its_ttl(on: Builder) -> None:
    on.create(max_age=2)
    on.send(0)
    on.pass_time(1.9)
    on.list()


def mailbox_outlives_its_ttl(on: Builder) -> None:
    on.create(ttl=1)
    on.pass_time(2.1)
    on.list()


def mailbox_dies_before_its_ttl(on: Builder) -> None:
    on.create(ttl=1)
    on.pass_time(0.7)
    on.send(0)
    on.pass_time(0.7)
    on.list(code="mailbox_not_found")


def delayed_is_early(on: Builder) -> None:
    on.create()
    to, seen = on.subscribe(), on.send(0, headers={"Mq9-Delay": "1"})
    on.pass_time(0.9)
    on.deliver(to, seen)


def delayed_is_late(on: Builder) -> None:
    on.create()
    seen = on.send(0, headers={"Mq9-Delay": "1"})
    seen.is_delayed = True
    on.pass_time(2.1)
    on.list(seen, is_final=True)


def deliver_at_is_early(on: Builder) -> None:
    on.create()
    due = {"headers": {"Mq9-Deliver-At": "2026-01-31T12:00:00Z"}, "asked": {"due": on.time + 1}}
    to, seen = on.subscribe(), on.send(0, **due)
    on.pass_time(0.9)
    on.deliver(to, seen)


def deliver_at_is_late(on: Builder) -> None:
    on.create()
    due = {"headers": {"Mq9-Deliver-At": "2026-01-31T12:00:00Z"}, "asked": {"due": on.time + 1}}
    seen = on.send(0, **due)
    seen.is_delayed = True
    on.pass_time(2.1)
    on.list(seen, is_final=True)


def list_is_out_of_order(on: Builder) -> None:
    on.create()
    on.list(on.send(0), on.send(1, priority="urgent"))


def list_shows_it_twice(on: Builder) -> None:
    on.create()
    seen = on.send(0)
    on.list(seen, seen)


def list_counts_wrong(on: Builder) -> None:
    on.create()
    on.list(on.send(0), total=2, is_final=True)


def more_than_the_limit(on: Builder) -> None:
    on.create(max_messages=1, discard="old")
    on.list(on.send(0), on.send(1))


def larger_than_the_limit(on: Builder) -> None:
    on.create(max_bytes=1000)
    on.list(on.send(0, asked={"bytes": 600}), on.send(1, asked={"bytes": 600}))


def refused_with_room(on: Builder) -> None:
    on.create(max_messages=2)
    on.delete(on.send(0))
    on.send(1)
    on.send(None, reply={"code": "limit_exceeded"})


def refused_with_bytes_to_spare(on: Builder) -> None:
    on.create(max_bytes=1000)
    on.delete(on.send(0, asked={"bytes": 600}))
    on.send(None, asked={"bytes": 600}, reply={"code": "limit_exceeded"})


def newest_is_discarded(on: Builder) -> None:
    on.create(max_messages=1, discard="old")
    first, _ = on.send(0), on.send(1)
    on.list(first)


def payload_is_damaged(on: Builder) -> None:
    on.create()
    seen = on.send(0)
    on.list(Sighting("box", 0, "normal", None, {}, f"{seen.uid} 3 abd"))


def headers_are_lost(on: Builder) -> None:
    on.create()
    seen = on.send(0, headers={"Mq9-Key": "k"})
    on.list(Sighting("box", 0, "normal", seen.uid, {}))


def in_another_mailbox(on: Builder) -> None:
    on.create()
    on.create("other")
    seen = on.send(0)
    on.list(Sighting("other", 0, "normal", seen.uid, {}), address="other")


def dead_and_alive(on: Builder) -> None:
    on.create(max_deliver=1, dead_letter="dead")
    on.create("dead")
    to, seen = on.subscribe("g"), on.send(0)
    on.answer(on.deliver(to, seen), "-NAK")
    on.list(seen, is_final=True)
    on.list(dead(seen, 0, **{"Mq9-Dead-Reason": "max_deliver"}), address="dead", is_final=True)


def dead_letter_is_lost(on: Builder) -> None:
    terminate(on, lambda _: [], lambda _: [])


def dead_letter_is_there_twice(on: Builder) -> None:
    reason = {"Mq9-Dead-Reason": "terminated"}
    terminate(on, lambda _: [], lambda seen: [dead(seen, 0, **reason), dead(seen, 1, **reason)])


def dead_for_another_reason(on: Builder) -> None:
    terminate(on, lambda _: [], lambda seen: [dead(seen, 0, **{"Mq9-Dead-Reason": "expired"})])


def terminate(
    on: Builder,
    left: Callable[[Sighting], list[Sighting]],
    dead_letters: Callable[[Sighting], list[Sighting]],
) -> None:
    on.create(dead_letter="dead")
    on.create("dead")
    to, seen = on.subscribe("g"), on.send(0)
    on.answer(on.deliver(to, seen), "+TERM")
    on.list(*left(seen), is_final=True)
    on.list(*dead_letters(seen), address="dead", is_final=True)


def dead_without_a_failure(on: Builder) -> None:
    on.create(dead_letter="dead")
    on.create("dead")
    on.list(dead(on.send(0), 0, **{"Mq9-Dead-Reason": "max_deliver"}), address="dead")


def failed_too_often_and_dropped(on: Builder) -> None:
    on.create(max_deliver=1, dead_letter="dead")
    on.create("dead")
    to, seen = on.subscribe("g"), on.send(0)
    on.answer(on.deliver(to, seen), "-NAK")
    on.list(is_final=True)
    on.list(address="dead", is_final=True)


def receipt_is_lost(on: Builder) -> None:
    on.create("log")
    on.create(receipts_to="log")
    on.delete(on.send(0))
    on.list(address="log")


def two_receipts(on: Builder) -> None:
    on.create("log")
    on.create(receipts_to="log")
    seen = on.send(0)
    on.delete(seen)
    on.list(receipt(seen, 0), receipt(seen, 1), address="log")


def receipt_of_nothing(on: Builder) -> None:
    on.create("log")
    on.create(receipts_to="log")
    on.list(receipt(on.send(0), 0), address="log")


def two_answers(on: Builder) -> None:
    on.create()
    on.create("asker")
    question = on.send(0, headers={"Mq9-Reply-To": "asker"})
    for number in range(2):
        stored = {"deleted": True, "answer": {"mail_address": "asker", "msg_id": number}}
        on.answer(on.deliver(on.subscribe(), question), "answer", stored, f"answer{number}")
    told = {"Mq9-In-Reply-To": "box/0"}
    on.list(*(Sighting("asker", n, "normal", f"answer{n}", told) for n in range(2)), address="asker")


def answer_is_lost(on: Builder) -> None:
    on.create()
    on.create("asker")
    question = on.send(0, headers={"Mq9-Reply-To": "asker"})
    stored = {"deleted": True, "answer": {"mail_address": "asker", "msg_id": 0}}
    on.answer(on.deliver(on.subscribe(), question), "answer", stored, "yes")
    on.list(address="asker")


def answer_to_another_question(on: Builder) -> None:
    on.create()
    on.create("asker")
    question = on.send(0, headers={"Mq9-Reply-To": "asker"})
    on.answer(on.deliver(on.subscribe(), question), "answer", None, "yes")
    on.history.requests[-1].reply = None
    on.list(Sighting("asker", 0, "normal", "yes", {"Mq9-In-Reply-To": "box/7"}), address="asker")


def repeated_is_stored(on: Builder) -> None:
    on.create()
    once = {"Nats-Msg-Id": "a"}
    first = on.send(None, headers=once)
    first.msg_id = 0
    on.list(first, on.send(1, headers=once))


def duplicate_names_another(on: Builder) -> None:
    on.create()
    on.send(0, headers={"Nats-Msg-Id": "a"})
    on.send(1)
    on.send(1, headers={"Nats-Msg-Id": "a"}, reply={"msg_id": 1, "duplicate": True})


def two_of_a_key(on: Builder) -> None:
    on.create()
    key = {"Mq9-Key": "k"}
    on.list(on.send(0, headers=key), on.send(1, headers=key))


def newest_of_a_key_is_gone(on: Builder) -> None:
    on.create()
    key = {"Mq9-Key": "k"}
    first, _ = on.send(0, headers=key), on.send(1, headers=key)
    on.list(first)


PLANTED: dict[str, list[Build]] = {
    "lost": [
        acknowledged_is_gone, delivered_without_a_reply_is_gone, mailbox_is_gone, mailbox_is_made_again,
        delete_does_not_find_it, newest_is_discarded, newest_of_a_key_is_gone, answer_is_lost,
        message_dies_before_its_ttl, mailbox_dies_before_its_ttl,
    ],
    "returned": [deleted_is_back, deleted_is_delivered],
    "ended twice": [deleted_twice],
    "refused": [refused_is_stored],
    "ids": [id_is_given_again, ids_fall, id_names_two_messages],
    "twice": [message_has_two_ids, delivered_twice],
    "order": [older_comes_later, urgent_comes_later],
    "not delivered": [never_delivered],
    "in flight": [too_many_in_flight, leased_without_a_limit],
    "deliveries": [failure_is_not_counted, failures_are_forgotten],
    "two members": [two_members, lease_is_too_short, progress_is_forgotten],
    "delay": [
        nak_does_not_wait, backoff_is_skipped, delayed_is_early, delayed_is_late, deliver_at_is_early,
        deliver_at_is_late,
    ],
    "ttl": [message_outlives_its_ttl, mailbox_outlives_its_ttl],
    "list": [list_is_out_of_order, list_shows_it_twice, list_counts_wrong],
    "limit": [more_than_the_limit, larger_than_the_limit, refused_with_room, refused_with_bytes_to_spare],
    "content": [payload_is_damaged, headers_are_lost, in_another_mailbox],
    "dead letter": [
        dead_and_alive, dead_letter_is_lost, dead_letter_is_there_twice, dead_for_another_reason,
        dead_without_a_failure, failed_too_often_and_dropped,
    ],
    "receipt": [receipt_is_lost, two_receipts, receipt_of_nothing, receipt_by_another],
    **PLANTED_EVENTS,
    "answer": [two_answers, answer_to_another_question],
    "repeat": [repeated_is_stored, duplicate_names_another],
    "key": [two_of_a_key],
}  # fmt: skip
