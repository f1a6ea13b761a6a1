"""Mq9-Key: a message replaces the one with the same key, for every reader, and across restarts and kills."""

import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mq9fast.errors import REASONS
from tests.support.broker import Broker
from tests.support.data_directory import rows_of
from tests.support.mailbox import Connect, acknowledge, list_all, refuse, texts
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire, read_messages

StartBroker = Callable[..., Broker]
KEYS_RANK, REPLACED_RANK = 14, 15


def with_key(key: str | bytes) -> bytes:
    return b"NATS/1.0\r\nMq9-Key: %b\r\n\r\n" % (key.encode() if isinstance(key, str) else key)


def send(wire: Wire, address: str, key: str | bytes, payload: str = "x") -> dict[str, Any]:
    return wire.msg(address, payload, with_key(key))


def frame(address: str, key: str, payload: str, reply: str = "") -> bytes:
    header = with_key(key)
    line = f"HPUB {MAILBOX}MSG.{address} {reply} {len(header)} {len(header) + len(payload)}\r\n"
    return line.encode() + header + f"{payload}\r\n".encode()


def payloads(wire: Wire, address: str) -> list[str]:
    return [message["payload"] for message in wire.list(address)["messages"]]


def rows_of_keys(data_dir: Path, rank: int = KEYS_RANK) -> list[bytes]:
    return [key for key in rows_of(data_dir, b"m") if key[9] == rank]


def test_message_replaces_the_one_with_its_key(wire: Wire, address: str) -> None:
    wire.create(name=address)
    assert send(wire, address, "a", "a1") == {"msg_id": 0}
    assert send(wire, address, "b", "b1") == {"msg_id": 1}
    assert wire.msg(address, "no key") == {"msg_id": 2}
    assert send(wire, address, "a", "a2") == {"msg_id": 3}
    assert payloads(wire, address) == ["b1", "no key", "a2"]
    assert wire.list(address)["total"] == 3
    assert wire.list(address)["mailbox"]["bytes"] == len("b1no keya2") + 2 * len(with_key("a"))
    assert wire.delete(address, 0) == {"deleted": False}


def test_new_message_has_its_own_priority(wire: Wire, address: str) -> None:
    wire.create(name=address)
    for suffix in ("", ".critical", ".urgent", ""):
        send(wire, address + suffix, "a", suffix)
        assert payloads(wire, address) == [suffix]


def test_mailboxes_do_not_share_keys(wire: Wire, address: str) -> None:
    for name in (address, address + "-other"):
        wire.create(name=name)
        send(wire, name, "a", name)
    assert payloads(wire, address) == [address]
    assert payloads(wire, address + "-other") == [address + "-other"]


@pytest.mark.parametrize(
    ("one", "other"), [("a", "A"), ("1", "01"), ("x" * 999, "x" * 1000), ("a b", "a  b")]
)
def test_other_key_is_another_key(wire: Wire, address: str, one: str, other: str) -> None:
    wire.create(name=address)
    for key in (one, other, one):
        send(wire, address, key, key)
    assert payloads(wire, address) == [other, one]


def test_blanks_around_a_key_and_the_case_of_the_name_do_not_count(wire: Wire, address: str) -> None:
    wire.create(name=address)
    send(wire, address, "\t a ", "1")
    wire.msg(address, "2", b"NATS/1.0\r\nmq9-KEY:a\r\n\r\n")
    assert payloads(wire, address) == ["2"]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"NATS/1.0\r\nMq9-Key: \r\n\r\n", "bad_request: empty_header"),
        (b"NATS/1.0\r\nMq9-Key: a\r\nMq9-Key: b\r\n\r\n", "bad_request: repeated_header"),
        (b"NATS/1.0\r\nMq9-Keys: a\r\n\r\n", "bad_request: unknown_header"),
    ],
)
def test_wrong_key_is_refused(wire: Wire, address: str, block: bytes, reason: str) -> None:
    wire.create(name=address)
    assert wire.msg(address, "x", block) == {"error": REASONS[reason], "code": "bad_request"}
    assert payloads(wire, address) == []


def test_deleted_message_is_not_replaced(wire: Wire, address: str) -> None:
    wire.create(name=address)
    send(wire, address, "a", "1")
    wire.delete(address, 0)
    send(wire, address, "a", "2")
    assert payloads(wire, address) == ["2"]
    assert wire.list(address)["total"] == 1


@pytest.mark.parametrize("discard", ["new", "old"])
def test_full_mailbox_takes_a_message_that_replaces_another(wire: Wire, address: str, discard: str) -> None:
    wire.create(name=address, max_messages=2, max_bytes=60, discard=discard)
    send(wire, address, "a", "a1")
    send(wire, address, "b", "b1")
    assert send(wire, address, "a", "a2") == {"msg_id": 2}
    assert payloads(wire, address) == ["b1", "a2"]
    send(wire, address, "b", "b2")
    assert payloads(wire, address) == ["a2", "b2"]
    assert send(wire, address, "b", "x" * 37)["code"] == "limit_exceeded"
    assert payloads(wire, address) == ["a2", "b2"]
    new = send(wire, address, "c", "c1")
    if discard == "new":
        assert new["code"] == "limit_exceeded"
    else:
        assert payloads(wire, address) == ["b2", "c1"]


# LIST.


def test_list_by_key(wire: Wire, address: str) -> None:
    wire.create(name=address)
    send(wire, address, "a b", "1")
    send(wire, address + ".urgent", "c", "2")
    wire.msg(address, "3")
    assert [message.get("key") for message in wire.list(address)["messages"]] == ["c", "a b", None]
    (found,) = wire.list(address, key=" a b")["messages"]
    assert (found["msg_id"], found["key"], found["payload"]) == (0, "a b", "1")
    assert "next" not in wire.list(address, key="a b")
    send(wire, address + ".critical", "a b", "4")
    (found,) = wire.list(address, key="a b", meta_only=True)["messages"]
    assert (found["msg_id"], found["priority"]) == (3, "critical")
    assert wire.list(address, key="a b", priority="normal")["messages"] == []
    assert wire.list(address, key="a")["messages"] == []
    wire.delete(address, 3)
    assert wire.list(address, key="a b")["messages"] == []


@pytest.mark.parametrize(
    "fields", [{"key": ""}, {"key": 1}, {"key": "a", "msg_id": 0}, {"key": "a", "cursor": "x"}]
)
def test_wrong_key_in_list_is_refused(wire: Wire, address: str, fields: dict[str, Any]) -> None:
    wire.create(name=address)
    assert wire.list(address, **fields)["code"] == "bad_request"


# Readers.


def test_reader_gets_every_message_live_and_the_last_from_the_store(broker: Broker, address: str) -> None:
    with Wire(broker.port) as wire, Wire(broker.port) as reader:
        wire.create(name=address)
        reader.subscribe(address)
        reader.ping()
        for text in ("1", "2", "3"):
            send(wire, address, "a", text)
        assert texts(reader.messages(3)) == ["1", "2", "3"]
        with Wire(broker.port) as late:
            late.subscribe(address)
            assert texts(late.messages(1)) == ["3"]
            assert late.silent()


def test_message_that_a_member_holds_is_stored_until_it_is_answered(
    wire: Wire, address: str, member: Connect
) -> None:
    wire.create(name=address)
    worker = member()
    send(wire, address, "a", "1")
    (held,) = worker.messages(1)
    send(wire, address, "a", "2")
    assert texts(worker.messages(1)) == ["2"]
    assert payloads(wire, address) == ["1", "2"]
    acknowledge(worker, held)
    worker.ping()
    assert payloads(wire, address) == ["2"]


@pytest.mark.parametrize("how", ["nak", "leave", "disconnect"])
@pytest.mark.parametrize("others", [True, False], ids=["with others", "alone"])
def test_replaced_message_is_dropped_instead_of_being_given_out_again(
    wire: Wire, address: str, member: Connect, how: str, others: bool
) -> None:
    wire.create(name=address)
    worker = member()
    send(wire, address, "a", "1")
    (held,) = worker.messages(1)
    other = member() if others else None
    worker.send("UNSUB 1 1\r\n") if how == "nak" else None
    worker.ping()
    send(wire, address, "a", "2")
    if how == "nak":
        refuse(worker, held)
        worker.ping()
    elif how == "leave":
        worker.send("UNSUB 1\r\n")
        worker.ping()
    else:
        worker.close()
    if other is not None:
        assert texts(other.messages(1)) == ["2"]
        assert other.silent()
    else:
        late = member()
        assert texts(late.messages(1)) == ["2"]
        assert late.silent()
    wait_until(lambda: payloads(wire, address) == ["2"])


@pytest.mark.parametrize("kill", [pytest.param(True, id="kill"), pytest.param(False, id="stop")])
def test_replaced_message_is_not_given_out_after_a_restart(start_broker: StartBroker, kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire, Wire(broker.port) as worker:
        wire.create(name="box")
        worker.subscribe("box", queue="g")
        send(wire, "box", "a", "1")
        worker.messages(1)
        send(wire, "box", "a", "2")
        worker.messages(1)
        assert payloads(wire, "box") == ["1", "2"]
        if kill:
            broker.kill()
        else:
            broker.stop()
    assert len(rows_of_keys(broker.data_dir, REPLACED_RANK)) == 1
    broker.start()
    with Wire(broker.port) as wire, Wire(broker.port) as worker:
        worker.subscribe("box", queue="g")
        assert texts(worker.messages(1)) == ["2"]
        assert worker.silent()
        wait_until(lambda: payloads(wire, "box") == ["2"])
    broker.stop()
    assert rows_of_keys(broker.data_dir, REPLACED_RANK) == []


# One commit group, and many.


def test_only_the_last_of_a_commit_group_is_stored(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    wire.sub("answers", "9")
    wire.send(b"".join(frame(address, "ab"[n % 2], f"{n}", "answers") for n in range(200)))
    wire.ping()
    wire.list(address)
    answers = [message for message in wire.received if message.sid == "9"]
    delivered = [message.msg_id for message in wire.received if message.sid == "1"]
    assert [answer.json for answer in answers] == [{"msg_id": n} for n in range(200)]
    assert delivered[-2:] == [198, 199]
    assert len(delivered) < 100
    assert delivered == sorted(set(delivered))
    assert payloads(wire, address) == ["198", "199"]


def test_key_that_is_written_a_million_times(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0")
    count = 1_000_000
    with Wire(broker.port) as wire, Wire(broker.port) as reader:
        wire.create(name="status")
        reader.subscribe("status")
        reader.ping()
        block = frame("status", "w1", "x" * 100) * 1000

        def publish() -> None:
            for _ in range(count // 1000):
                wire.send(block)
            wire.ping()

        thread = threading.Thread(target=publish)
        thread.start()
        ids: list[int] = []
        while not ids or ids[-1] != count - 1:
            ids.append(reader.message().msg_id)
        thread.join()
        assert ids == sorted(set(ids))
        assert reader.silent()
        assert list(list_all(wire, "status")) == [count - 1]
        assert broker.metric("mq9fast_mailbox_messages_discarded_total") == count - 1
        used = sum(file.stat().st_size for file in broker.data_dir.rglob("*") if file.exists())
        assert used < 60 << 20
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert [message["msg_id"] for message in wire.list("status", key="w1")["messages"]] == [count - 1]
        send(wire, "status", "w1", "last")
        assert payloads(wire, "status") == ["last"]


@pytest.mark.parametrize("sync", ["always", "never"])
def test_status_board_survives_kills(start_broker: StartBroker, sync: str) -> None:
    """Many keys, each with one message, whenever the broker is killed: the acknowledged or a later one."""
    broker = start_broker("--sync", sync)
    workers, rounds = 200, 4
    with Wire(broker.port) as wire:
        wire.create(name="board")
    for number in range(rounds):
        with Wire(broker.port) as wire:
            for n in range(workers):
                wire.send(frame("board", f"w{n}", f"{n}.{number}.0"))
            # Acknowledged once this is answered.
            wire.list("board", limit=1)
            wire.send(b"".join(frame("board", f"w{n}", f"{n}.{number}.1") for n in range(workers)))
            broker.kill()
        broker.start()
        with Wire(broker.port) as wire:
            stored = sorted(list_all(wire, "board").values())
            assert len(stored) == wire.list("board", limit=1)["total"] == workers
            assert [text.split(".")[:2] for text in stored] == sorted(
                [f"{n}", f"{number}"] for n in range(workers)
            )
            (found,) = wire.list("board", key="w7")["messages"]
            assert found["payload"] in stored


def test_rows_of_keys_without_a_message_are_deleted(start_broker: StartBroker) -> None:
    """Their number is bounded, also if each message has a key of its own and is deleted."""
    broker = start_broker("--sync", "never")
    count = 6000
    with Wire(broker.port) as wire, Wire(broker.port) as worker:
        wire.create(name="box")
        worker.subscribe("box", queue="g")
        worker.ping()
        for start in range(0, count, 500):
            wire.send(b"".join(frame("box", f"k{n}", "x") for n in range(start, start + 500)))
            for message in islice(read_messages(worker), 500):
                acknowledge(worker, message)
            worker.ping()
        wait_until(lambda: wire.list("box", limit=1)["total"] == 0)
        send(wire, "box", "kept", "1")
        send(wire, "box", "kept", "2")

        def rows_after_a_restart() -> int:
            broker.stop()
            rows = len(rows_of_keys(broker.data_dir))
            broker.start()
            return rows

        wait_until(lambda: rows_after_a_restart() < 2500)
    with Wire(broker.port) as wire:
        send(wire, "box", "kept", "3")
        assert payloads(wire, "box")[-1] == "3"


def test_rows_of_an_ended_mailbox_are_purged(start_broker: StartBroker) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box", ttl=1)
        for n in range(5):
            send(wire, "box", f"{n}")
            wire.delete("box", n)
        wait_until(lambda: "code" in wire.list("box"))
        wire.create(name="box")
        assert send(wire, "box", "1") == {"msg_id": 0}
        assert payloads(wire, "box") == ["x"]

    def rows_after_a_restart() -> int:
        broker.stop()
        count = len(rows_of_keys(broker.data_dir))
        broker.start()
        return count

    wait_until(lambda: rows_after_a_restart() == 1)


def test_large_message_is_replaced_while_a_thread_writes_it(start_broker: StartBroker) -> None:
    """The store does not have the message yet that the next one replaces."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="board")
        for n in range(100):
            wire.send(b"".join(frame("board", key, f"{n}" + "x" * 200_000) for key in ("a", "b")))
        wire.ping()
        assert list(list_all(wire, "board")) == [198, 199]
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list(list_all(wire, "board")) == [198, 199]
