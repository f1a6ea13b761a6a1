"""Events of a commit group that fails: the first event still comes, and no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerOnFaultyStore]:
    running = BrokerOnFaultyStore(tmp_path / "data")
    yield running
    running.end()


def test_first_event_comes_when_the_store_works_again(broker: BrokerOnFaultyStore) -> None:
    with Wire(broker.port) as wire, Wire(broker.port) as other:
        broker.faults.may_sync.clear()
        broker.faults.failing_syncs = 1
        wire.sub("replies", "9")
        wire.pub(f"{MAILBOX}CREATE", '{"name": "one"}', "replies")
        wire.ping()
        # The fsync of that one runs; these gather in the next group, which fails too.
        wire.sub(f"{MAILBOX}EVENT.two", "1")
        wire.pub(f"{MAILBOX}CREATE", '{"name": "two"}', "replies")
        wire.ping()
        broker.faults.may_sync.set()
        heard = wire.messages(3)
        refused = [message.json["code"] for message in heard if message.sid == "9"]
        assert refused == ["store_unavailable"] * 2
        # A failed fsync may leave the mailbox in the store: the first event says whether it did.
        first = next(message.json["event"] for message in heard if message.sid == "1")
        wait_until(lambda: "error" not in other.create(name="three"))
        assert other.create(name="two")["is_new"] is (first == "absent")
        assert first == "alive" or wire.message().json == {"event": "created"}
        assert wire.silent()
