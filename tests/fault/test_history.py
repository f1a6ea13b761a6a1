"""The checker finds each broken rule in a history that is right otherwise."""

from pathlib import Path

import pytest

from tests.fault.history.checker import find_violations
from tests.fault.history.history import History
from tests.fault.history.payload import make_payload, read_uid
from tests.fault.history.records import Fault, Sighting
from tests.fault.history_builder import Builder, again, dead, receipt
from tests.fault.planted_histories import PLANTED, Build


def rules_broken_by(build: Build) -> set[str]:
    builder = Builder()
    build(builder)
    return {violation.rule for violation in find_violations(builder.history)}


def a_day(on: Builder) -> None:
    on.create()
    plain = on.subscribe()
    first, second = on.send(0), on.send(1, priority="critical")
    on.deliver(plain, first)
    on.deliver(plain, second)
    on.list(second, first)
    on.delete(first)
    on.send(None)  # lost with the broker, or stored with id 2
    on.fault("kill")
    plain.ended = on.time
    again = on.subscribe()
    on.deliver(again, second)
    on.list(second, is_final=True)


def a_lease(on: Builder) -> None:
    on.create(ack_wait=1, dead_letter="dead", max_deliver=2)
    on.create("dead")
    one, two = on.subscribe("g"), on.subscribe("g")
    seen = on.send(0)
    held = on.deliver(one, seen)
    on.pass_time(0.5)
    on.answer(held, "+WPI")
    on.pass_time(0.9)
    on.pass_time(0.2)
    on.deliver(two, seen)
    on.pass_time(1.1)
    on.list(is_final=True)
    on.list(
        dead(seen, 0, **{"Mq9-Dead-Reason": "max_deliver", "Mq9-Deliveries": "2"}),
        address="dead",
        is_final=True,
    )


def a_member_with_two(on: Builder) -> None:
    on.create(max_in_flight=2)
    one, two = on.subscribe("g"), on.subscribe("g")
    first, second = on.send(0), on.send(1)
    held = on.deliver(one, first)
    on.deliver(one, second)
    on.answer(held, "-NAK")
    on.answer(on.deliver(two, again(first, 2)))
    on.deliver(one, on.send(2))


def a_backoff(on: Builder) -> None:
    on.create(backoff=[0, 1])
    one = on.subscribe("g")
    seen = on.send(0)
    on.answer(on.deliver(one, seen), "-NAK")
    on.answer(on.deliver(one, again(seen, 2)), "-NAK")
    on.pass_time(1)
    on.deliver(one, again(seen, 3))


def a_late_nak(on: Builder) -> None:
    on.create()
    one, two = on.subscribe("g"), on.subscribe("g")
    seen = on.send(0)
    held = on.deliver(one, seen)
    one.ended = on.time
    on.answer(held, '-NAK {"delay": 1000000000}')
    on.deliver(two, seen)


def lives_and_delays(on: Builder) -> None:
    on.create(ttl=2)
    seen = on.send(0, headers={"Nats-TTL": "1s"})
    later = on.send(1, headers={"Mq9-Delay": "0.5"})
    waiting = Sighting(later.address, 1, "normal", later.uid, later.headers, is_delayed=True)
    on.list(seen, waiting)
    on.pass_time(1.6)
    on.list(later)
    on.pass_time(2)
    on.list(code="mailbox_not_found")
    on.create()
    on.list(on.send(0))


def questions(on: Builder) -> None:
    on.create(receipts_to="log")
    on.create("asker")
    on.create("log")
    one, two = on.subscribe(), on.subscribe()
    question = on.send(0, headers={"Mq9-Reply-To": "asker"})
    first, second = on.deliver(one, question), on.deliver(two, question)
    stored = {"deleted": True, "answer": {"mail_address": "asker", "msg_id": 0}}
    on.answer(first, "answer", stored, "yes")
    on.answer(second, "answer", {"deleted": False}, "no")
    on.list(Sighting("asker", 0, "normal", "yes", {"Mq9-In-Reply-To": "box/0"}), address="asker")
    on.list(receipt(question, 0, how="answered"), address="log")


def a_life_that_is_watched(on: Builder) -> None:
    on.user = "anna"
    watch = on.watch(state="absent")
    on.create(ttl=1, receipts_to="log")
    on.tell(watch, "created")
    seen = on.send(0)
    on.tell(watch, "waiting", total=1)
    on.delete(seen)
    on.tell(watch, "settled", msg_id=0, how="deleted", by="anna")
    on.list(receipt(seen, 0, by="anna"), address="log")
    on.pass_time(1)
    on.tell(watch, "expired")


def a_watch_that_lost_events(on: Builder) -> None:
    on.create()
    watch = on.watch()
    on.delete(on.send(0))
    on.tell(watch, "alive", total=0)


def limits(on: Builder) -> None:
    on.create(max_messages=2, max_bytes=1000)
    first = on.send(0, asked={"bytes": 600})
    on.send(None, asked={"bytes": 600}, reply={"code": "limit_exceeded"})
    second = on.send(1)
    on.send(None, reply={"code": "limit_exceeded"})
    on.list(first, second)
    on.delete(first)
    on.list(second, on.send(2, asked={"bytes": 600}))


def a_time(on: Builder) -> None:
    on.create()
    at = {"Mq9-Deliver-At": "2026-01-31T12:00:00Z"}
    to, later = on.subscribe(), on.send(0, headers=at, asked={"due": on.time + 1})
    on.deliver(to, on.send(1, headers=at, asked={"due": on.time - 1}))
    on.pass_time(1)
    on.deliver(to, later)
    on.fault("clock")
    on.deliver(to, on.send(2, headers=at, asked={"due": on.time + 1}))


def repeats(on: Builder) -> None:
    on.create()
    once = {"Nats-Msg-Id": "a"}
    seen = on.send(0, headers=once)
    on.send(0, headers=once, reply={"msg_id": 0, "duplicate": True})
    on.list(seen)
    on.send(1, headers={"Mq9-Key": "k"})
    on.list(seen, on.send(2, headers={"Mq9-Key": "k"}))


@pytest.mark.parametrize(
    "build",
    [
        *(a_day, a_lease, a_member_with_two, a_backoff, a_late_nak, lives_and_delays, questions, repeats),
        *(a_life_that_is_watched, a_watch_that_lost_events, limits, a_time),
    ],
)
def test_right_history_has_no_violation(build: Build, tmp_path: Path) -> None:
    builder = Builder()
    build(builder)
    assert find_violations(builder.history) == []
    builder.history.save(tmp_path / "history")
    loaded = History.load(tmp_path / "history")
    assert list(loaded) == list(builder.history)
    assert find_violations(loaded) == []


@pytest.mark.parametrize(
    ("rule", "build"),
    [pytest.param(rule, build, id=build.__name__) for rule, builds in PLANTED.items() for build in builds],
)
def test_broken_rule_is_found(rule: str, build: Build) -> None:
    assert rule in rules_broken_by(build)


@pytest.mark.parametrize("kind", ["kill", "power", "owner_change"])
def test_a_second_delivery_is_allowed_after_the_end_of_a_broker(kind: str) -> None:
    def build(on: Builder) -> None:
        on.create()
        one, two = on.subscribe("g"), on.subscribe("g")
        seen = on.send(0)
        on.deliver(one, seen)
        on.fault(kind)
        on.deliver(two, seen)

    assert not rules_broken_by(build)


@pytest.mark.parametrize("ends", [True, False])
def test_refused_message_may_be_stored_only_if_the_broker_ended_then(ends: bool) -> None:
    """It could not undo what it had written before the failure."""

    def build(on: Builder) -> None:
        on.create()
        seen = on.send(0, reply={"error": "", "code": "store_unavailable"})
        if ends:
            on.history.add(Fault("power", on.time - 0.02, on.time))
        on.list(seen)

    assert rules_broken_by(build) == (set() if ends else {"refused"})


def test_damaged_payload_has_no_uid() -> None:
    payload = make_payload("client-1:7", 100)
    assert read_uid(payload) == "client-1:7"
    for at in range(len(payload)):
        assert read_uid(payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]) != "client-1:7"
    assert read_uid(payload[:-1]) is None
    assert read_uid(b'{"event": "settled"}') is None
