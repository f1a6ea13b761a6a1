"""Failed deliveries and dead letters when writes or fsyncs fail: nothing is lost or done twice."""

import time

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.mailbox import refuse, reply
from tests.support.waiting import wait_until
from tests.support.wire_client import Wire


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
def test_failed_delivery_is_stored_once_the_store_works(
    faulty_broker: BrokerOnFaultyStore, fault: str
) -> None:
    """Until then nobody gets the message again."""
    with Wire(faulty_broker.port) as wire:
        wire.create(name="tasks")
        wire.msg("tasks", "n0")
        wire.subscribe("tasks", queue="g")
        message = wire.message()
        setattr(faulty_broker.faults, fault, 1)
        refuse(wire, message)
        again = wire.message()
        assert b"Mq9-Deliveries: " in again.header
        assert wire.list("tasks")["messages"][0]["deliveries"] == 1
        assert faulty_broker.faults.failing_writes == faulty_broker.faults.failing_syncs == 0
        assert wire.silent(0.1)
        wait_until(lambda: wire.create(name="tasks").get("is_new") is False)
        assert wire.delete("tasks", 0) == {"deleted": True}


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
@pytest.mark.parametrize("fails_before", [False, True], ids=["with the answer", "before the answer"])
def test_message_given_back_waits_although_the_store_failed(
    faulty_broker: BrokerOnFaultyStore, fault: str, fails_before: bool
) -> None:
    """The delay of -NAK counts from the answer on, and the failed delivery is counted once."""
    delay = 2.0
    with Wire(faulty_broker.port) as wire, Wire(faulty_broker.port) as member:
        wire.create(name="tasks")
        wire.msg("tasks", "n0")
        member.subscribe("tasks", queue="g")
        message = member.message()
        setattr(faulty_broker.faults, fault, 1)
        if fails_before:
            assert wire.msg("tasks", "n1")["code"] == "store_unavailable"
        begun = time.monotonic()
        answer = member.request(message.reply, f'-NAK {{"delay": {delay * 1e9:.0f}}}').json
        assert answer == {"deleted": False} if fails_before else answer["code"] == "store_unavailable"
        again = member.message()
        assert time.monotonic() - begun > delay - 0.01
        assert b"Mq9-Deliveries: 2" in again.header
        assert wire.list("tasks")["messages"][0]["deliveries"] == 1
        assert getattr(faulty_broker.faults, fault) == 0


@pytest.mark.parametrize("fails_before", [False, True], ids=["with the deletion", "before the answer"])
def test_message_given_back_waits_although_its_deletion_failed(
    faulty_broker: BrokerOnFaultyStore, fails_before: bool
) -> None:
    """Whether the store has its delay or not."""
    delay = 2.0
    with Wire(faulty_broker.port) as wire, Wire(faulty_broker.port) as member:
        wire.create(name="tasks")
        wire.msg("tasks", "n0")
        member.subscribe("tasks", queue="g")
        message = member.message()
        if fails_before:
            faulty_broker.faults.failing_writes = 1
            assert wire.msg("tasks", "n1")["code"] == "store_unavailable"
        begun = time.monotonic()
        answer = member.request(message.reply, f'-NAK {{"delay": {delay * 1e9:.0f}}}').json
        assert answer == {"deleted": False}
        if not fails_before:
            faulty_broker.faults.failing_writes = 1
        assert wire.delete("tasks", 0)["code"] == "store_unavailable"
        again = member.message()
        assert time.monotonic() - begun > delay - 0.01
        assert b"Mq9-Deliveries: 2" in again.header
        assert wire.list("tasks")["messages"][0]["deliveries"] == 1


@pytest.mark.parametrize("others", [False, True], ids=["the last member", "one of two"])
@pytest.mark.parametrize("answer", ["", "+TERM"], ids=["answered", "terminated"])
def test_refused_answer_of_a_member_that_has_gone_is_a_failed_delivery(
    faulty_broker: BrokerOnFaultyStore, answer: str, others: bool
) -> None:
    with Wire(faulty_broker.port) as wire, Wire(faulty_broker.port) as member:
        wire.create(name="tasks")
        wire.msg("tasks", "n0")
        member.subscribe("tasks", queue="g")
        message = member.message()
        if others:
            wire.subscribe("tasks", queue="g")
        faulty_broker.faults.write_stalled = True
        faulty_broker.faults.failing_writes = 1
        reply(member, message, answer)
        member.ping()
        member.send("nonsense\r\n")
        assert member.closed()
        wire.ping()
        faulty_broker.faults.write_stalled = False
        if not others:
            wire.subscribe("tasks", queue="g")
        again = wire.message()
        assert again.payload == b"n0" and b"Mq9-Deliveries: 2" in again.header
        assert wire.list("tasks")["messages"][0]["deliveries"] == 1
        assert wire.delete("tasks", 0) == {"deleted": True}


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
def test_dead_letter_is_in_one_mailbox_after_a_failure(
    faulty_broker: BrokerOnFaultyStore, fault: str
) -> None:
    with Wire(faulty_broker.port) as wire:
        wire.create(name="tasks", max_deliver=1, dead_letter="dead")
        wire.create(name="dead")
        wire.msg("tasks", "n0")
        wire.subscribe("tasks", queue="g")
        message = wire.message()
        setattr(faulty_broker.faults, fault, 1)
        refuse(wire, message)
        wait_until(lambda: wire.list("dead").get("total") == 1)
        wait_until(lambda: wire.list("tasks").get("total") == 0)
        assert wire.silent(0.1)
        assert [each["payload"] for each in wire.list("dead")["messages"]] == ["n0"]


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
def test_expired_message_is_in_one_mailbox_after_a_failure(
    faulty_broker: BrokerOnFaultyStore, fault: str
) -> None:
    with Wire(faulty_broker.port) as wire:
        wire.create(name="tasks", max_age=1, dead_letter="dead", dead_letter_expired=True)
        wire.create(name="dead")
        for n in range(20):
            wire.msg("tasks", str(n))
        setattr(faulty_broker.faults, fault, 1)
        wait_until(lambda: wire.list("dead").get("total", 0) >= 20)
        wait_until(lambda: wire.list("tasks")["mailbox"]["bytes"] == 0)
        assert getattr(faulty_broker.faults, fault) == 0
        assert sorted(int(each["payload"]) for each in wire.list("dead")["messages"]) == list(range(20))


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
def test_term_with_a_full_target_and_a_failure(faulty_broker: BrokerOnFaultyStore, fault: str) -> None:
    """Its member is told, and the message is not lost."""
    with Wire(faulty_broker.port) as wire, Wire(faulty_broker.port) as member:
        wire.create(name="dead", max_messages=1)
        wire.msg("dead", "in the way")
        wire.create(name="tasks", dead_letter="dead")
        wire.msg("tasks", "n0")
        member.subscribe("tasks", queue="g")
        message = member.message()
        setattr(faulty_broker.faults, fault, 1)
        assert member.request(message.reply, "+TERM").json["code"] == "store_unavailable"
        wait_until(lambda: wire.create(name="dead", max_messages=0).get("is_new") is False)
        wait_until(lambda: wire.list("dead").get("total") == 2 or member.received or not member.silent(0.1))
        assert len(wire.list("dead")["messages"]) + len(wire.list("tasks")["messages"]) == 2


@pytest.mark.parametrize("fault", ["failing_writes", "failing_syncs"])
def test_dead_message_with_a_full_target_and_a_failure(
    faulty_broker: BrokerOnFaultyStore, fault: str
) -> None:
    """While it waits for room, no group and no reader gets it again. It is moved once."""
    with Wire(faulty_broker.port) as wire, Wire(faulty_broker.port) as member:
        wire.create(name="dead", max_messages=1)
        wire.msg("dead", "in the way")
        wire.create(name="tasks", dead_letter="dead", max_deliver=1)
        wire.msg("tasks", "n0")
        member.subscribe("tasks", queue="g")
        message = member.message()
        setattr(faulty_broker.faults, fault, 1)
        refuse(member, message)
        wait_until(lambda: getattr(faulty_broker.faults, fault) == 0)
        wait_until(lambda: wire.create(name="tasks").get("is_new") is False)
        member.subscribe("tasks", queue="other")
        wire.subscribe("tasks")
        assert member.silent(1.2)
        assert wire.silent(0)
        setattr(faulty_broker.faults, fault, 1)
        wait_until(lambda: wire.create(name="dead", max_messages=0).get("is_new") is False)
        wait_until(lambda: wire.list("dead").get("total") == 2)
        wait_until(lambda: wire.list("tasks").get("total") == 0)
        dead = wire.list("dead")["messages"][1]
        assert dead["headers"]["Mq9-Deliveries"] == "1"
        assert member.silent(1.2)
        assert wire.list("dead")["total"] == 2
