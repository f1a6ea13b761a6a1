"""With `--sync always`, replies and deliveries wait for the fsync. A failed fsync affects only its group."""

import pytest

from tests.support.faults.broker import BrokerOnFaultyStore
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire


def test_replies_and_deliveries_wait_for_the_fsync(faulty_broker: BrokerOnFaultyStore) -> None:
    with (
        Wire(faulty_broker.port) as sender,
        Wire(faulty_broker.port) as reader,
        Wire(faulty_broker.port) as worker,
    ):
        sender.create(name="a")
        sender.msg("a", "first")
        reader.subscribe("a")
        worker.subscribe("a", queue="workers")
        assert reader.message().payload == worker.message().payload == b"first"

        faulty_broker.faults.may_sync.clear()
        sender.sub("answers")
        sender.pub(MAILBOX + "MSG.a", "second", "answers")
        sender.pub(MAILBOX + "DELETE.a.0", "", "answers")
        sender.ping()
        # These arrive during the fsync. They belong to the next commit group, which waits for its own fsync.
        sender.pub(MAILBOX + "MSG.a.critical", "third", "answers")
        sender.pub(MAILBOX + "CREATE", '{"name": "b"}', "answers")
        sender.pub(MAILBOX + "LIST.a", "", "answers")
        sender.ping()
        with Wire(faulty_broker.port) as late:
            late.subscribe("a")
            late.ping()
            assert sender.silent(0.3)
            assert reader.silent(0.05)
            assert worker.silent(0.05)
            assert all(message.payload == b"first" for message in late.received) and late.silent(0.05)

            faulty_broker.faults.may_sync.set()
            bodies = [message.json for message in sender.messages(5)]
            assert {"msg_id": 1} in bodies
            assert {"msg_id": 2} in bodies
            assert {"deleted": True} in bodies
            assert {"mail_address": "b", "is_new": True} in bodies
            for follower in (reader, worker, late):
                assert sorted(message.payload for message in follower.messages(2)) == [b"second", b"third"]


def wait_until_writable(wire: Wire, address: str) -> None:
    """Wait until the store accepts writes again."""
    wait_until(lambda: wire.create(name=address).get("is_new") is False)


def test_messages_of_a_failed_fsync_are_refused_and_invisible(faulty_broker: BrokerOnFaultyStore) -> None:
    with Wire(faulty_broker.port) as wire:
        wire.create(name="a")
        faulty_broker.faults.may_sync.clear()
        faulty_broker.faults.failing_syncs = 1
        wire.sub("answers")
        wire.pub(MAILBOX + "MSG.a", "refused", "answers")
        wire.ping()
        assert wire.silent(0.1)
        wire.pub(MAILBOX + "MSG.a.urgent", "refused too", "answers")
        wire.ping()
        assert wire.silent(0.1)
        faulty_broker.faults.may_sync.set()
        assert [each.json["code"] for each in wire.messages(2)] == ["store_unavailable"] * 2
        # Both are in the store, but stay invisible, also after the store accepts writes again.
        page = wire.list("a")
        assert (page["total"], page["messages"]) == (0, [])
        wait_until_writable(wire, "a")
        assert wire.list("a")["total"] == 0
        assert wire.msg("a", "kept") == {"msg_id": 2}
        wire.subscribe("a", "2")
        assert wire.message().payload == b"kept"
        assert wire.silent(0.1)
        assert wire.list("a", limit=1)["total"] == 1


def test_message_is_delivered_if_its_deletion_fails_during_its_fsync(
    faulty_broker: BrokerOnFaultyStore,
) -> None:
    with Wire(faulty_broker.port) as wire, Wire(faulty_broker.port) as reader:
        wire.create(name="a")
        reader.subscribe("a")
        reader.ping()
        faulty_broker.faults.may_sync.clear()
        wire.sub("answers")
        # In one piece, so that they are in one commit group.
        wire.send(
            "".join(f"PUB {MAILBOX}MSG.a answers {len(text)}\r\n{text}\r\n" for text in ("first", "second"))
        )
        wire.ping()
        assert wire.silent(0.1)
        faulty_broker.faults.failing_writes = 1
        wire.pub(MAILBOX + "DELETE.a.0", "", "answers")
        wire.ping()
        faulty_broker.faults.may_sync.set()
        answers = [each.json for each in wire.messages(3)]
        assert [each.get("code") for each in answers].count("store_unavailable") == 1
        assert {"msg_id": 0} in answers and {"msg_id": 1} in answers
        assert [each.payload for each in reader.messages(2)] == [b"first", b"second"]
        wait_until_writable(wire, "a")
        assert wire.list("a")["total"] == 2
        assert wire.delete("a", 0) == {"deleted": True}


@pytest.mark.parametrize("count", [1, 3], ids=["a whole batch", "part of a batch"])
def test_deletions_of_a_failed_fsync_are_refused_but_stay_done(
    faulty_broker: BrokerOnFaultyStore, count: int
) -> None:
    """The store has the deletions although they were refused. No message is deleted twice or comes back."""
    with (
        Wire(faulty_broker.port) as wire,
        Wire(faulty_broker.port) as worker,
        Wire(faulty_broker.port) as other,
    ):
        wire.create(name="a")
        wire.send("".join(f"PUB {MAILBOX}MSG.a 1\r\n{n}\r\n" for n in range(count + 2)))
        worker.sub("answers", "9")
        worker.subscribe("a", queue="workers")
        assert len(worker.messages(count + 2)) == count + 2
        faulty_broker.faults.may_sync.clear()
        faulty_broker.faults.failing_syncs = 1
        worker.send("".join(f"PUB {MAILBOX}DELETE.a.{n} answers 0\r\n\r\n" for n in range(count)))
        worker.ping()
        assert worker.silent(0.1)
        faulty_broker.faults.may_sync.set()
        assert [each.json["code"] for each in worker.messages(count)] == ["store_unavailable"] * count
        wait_until_writable(wire, "a")
        left = [{"msg_id": n, "payload": str(n)} for n in range(count, count + 2)]
        for _ in range(2):
            for n in range(count):
                assert wire.delete("a", n) == {"deleted": False}
            listed = wire.list("a")
            assert listed["total"] == 2
            assert [{"msg_id": m["msg_id"], "payload": m["payload"]} for m in listed["messages"]] == left
        other.subscribe("a", queue="workers")
        other.ping()
        worker.close()
        assert [message.payload for message in other.messages(2)] == [
            b"%d" % n for n in range(count, count + 2)
        ]
        assert other.silent(0.1)
        for n in range(count, count + 2):
            assert wire.delete("a", n) == {"deleted": True}
        assert wire.list("a")["total"] == 0
