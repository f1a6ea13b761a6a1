"""Failed deliveries and dead letters when writes or fsyncs fail: nothing is lost or done twice."""

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.mailbox import refuse
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
        assert wire.list("tasks")["messages"][0]["deliveries"] >= 1
        assert faulty_broker.faults.failing_writes == faulty_broker.faults.failing_syncs == 0
        assert wire.silent(0.1)
        wait_until(lambda: wire.create(name="tasks").get("is_new") is False)
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
