"""discard "old": a full mailbox drops its oldest messages instead of refusing new ones."""

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, acknowledge, list_all, publish_many, refuse, texts
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire, read_messages

StartBroker = Callable[..., Broker]


def payloads(wire: Wire, address: str) -> list[str]:
    return [message["payload"] for message in wire.list(address)["messages"]]


def publish(wire: Wire, address: str, *sends: str) -> None:
    """Publish in one write: the text, or the priority, a blank and the text."""
    frames = []
    for send in sends:
        priority, _, text = send.rpartition(" ")
        subject = f"{MAILBOX}MSG.{address}{'.' + priority if priority else ''}"
        frames.append(f"PUB {subject} {len(text)}\r\n{text}\r\n")
    wire.send("".join(frames))
    wire.ping()


def disk_bytes(broker: Broker) -> int:
    return sum(file.stat().st_size for file in broker.data_dir.rglob("*") if file.exists())


# The option.


def test_option_is_shown_and_changed(wire: Wire, address: str) -> None:
    assert wire.create(name=address, discard="old")["options"] == {"discard": "old"}
    assert wire.create(name=address, max_messages=1)["options"] == {"max_messages": 1, "discard": "old"}
    assert wire.list(address)["mailbox"]["options"] == {"max_messages": 1, "discard": "old"}
    assert wire.create(name=address, discard="new")["options"] == {"max_messages": 1}


@pytest.mark.parametrize("value", ["oldest", "", 1, True, ["old"], "OLD"])
def test_wrong_value_is_refused(wire: Wire, address: str, value: Any) -> None:
    refused = wire.create(name=address, discard=value)
    assert refused["code"] == "bad_request"
    assert "$.discard" in refused["error"]


@pytest.mark.parametrize("kill", [False, True])
def test_option_survives_a_restart(start_broker: StartBroker, kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="box", max_messages=2, discard="old")
        for text in ("a", "b", "c"):
            wire.msg("box", text)
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        assert payloads(wire, "box") == ["b", "c"]
        assert wire.msg("box", "d") == {"msg_id": 3}
        assert payloads(wire, "box") == ["c", "d"]
        wire.create(name="box", discard="new")
        assert wire.msg("box", "e")["code"] == "limit_exceeded"


# What is dropped.


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_oldest_of_the_least_urgent_priority_goes_first(wire: Wire, address: str, at_once: bool) -> None:
    wire.create(name=address, max_messages=3, discard="old")
    steps = (
        ("urgent u1", ["u1"]),
        ("n1", ["u1", "n1"]),
        ("n2", ["u1", "n1", "n2"]),
        ("critical c1", ["c1", "u1", "n2"]),
        ("urgent u2", ["c1", "u1", "u2"]),
        ("n3", ["c1", "u2", "n3"]),
        ("critical c2", ["c1", "c2", "u2"]),
        ("critical c3", ["c1", "c2", "c3"]),
        ("n4", ["c2", "c3", "n4"]),
    )
    if at_once:
        publish(wire, address, *(send for send, _ in steps))
        assert payloads(wire, address) == steps[-1][1]
        return
    for send, expected in steps:
        publish(wire, address, send)
        assert payloads(wire, address) == expected


def test_max_bytes_drops_as_many_as_needed(wire: Wire, address: str) -> None:
    wire.create(name=address, max_bytes=10, discard="old")
    for text in ("1", "22", "333", "4444"):
        assert "msg_id" in wire.msg(address, text)
    assert wire.msg(address, "55") == {"msg_id": 4}
    assert payloads(wire, address) == ["333", "4444", "55"]
    assert wire.msg(address, "x" * 11)["code"] == "limit_exceeded"
    assert payloads(wire, address) == ["333", "4444", "55"]
    assert wire.msg(address, "x" * 10) == {"msg_id": 5}
    assert payloads(wire, address) == ["x" * 10]


def test_limits_of_the_broker_drop_too(start_broker: StartBroker) -> None:
    broker = start_broker("--max-mailbox-messages", "2", "--max-mailbox-bytes", "10")
    with Wire(broker.port) as wire:
        wire.create(name="box", discard="old", max_messages=5)
        for text in ("1", "2", "3"):
            wire.msg("box", text)
        assert payloads(wire, "box") == ["2", "3"]
        wire.msg("box", "x" * 10)
        assert payloads(wire, "box") == ["x" * 10]


def test_store_limit_refuses(start_broker: StartBroker) -> None:
    broker = start_broker("--max-store-bytes", "100")
    with Wire(broker.port) as wire:
        wire.create(name="other")
        wire.msg("other", "x" * 90)
        wire.create(name="box", discard="old", max_messages=1)
        assert wire.msg("box", "y" * 8) == {"msg_id": 0}
        assert wire.msg("box", "z" * 8)["code"] == "limit_exceeded"
        assert payloads(wire, "box") == ["y" * 8]


def test_order_is_right_after_deletions(wire: Wire, address: str) -> None:
    """Deleted messages before, between and after those that are dropped, in one row and in several."""
    wire.create(name=address, max_messages=100, discard="old")
    publish(wire, address, *(f"{n}" for n in range(100)))
    for n in (0, 1, 5, 70, 99):
        wire.delete(address, n)
    publish(wire, address, *(f"{n}" for n in range(100, 111)))
    gone = {0, 1, 2, 3, 4, 5, 6, 7, 8, 70, 99}
    assert list(list_all(wire, address)) == [n for n in range(111) if n not in gone]
    wire.delete(address, 9)
    wire.msg(address, "111")
    wire.msg(address, "112")
    assert list(list_all(wire, address))[:2] == [11, 12]


def test_lowered_limit_acts_on_the_next_message(start_broker: StartBroker) -> None:
    """It drops 1,024 messages at most, and housekeeping the rest."""
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        publish_many(wire, "box", 5000, b"x")
        wire.create(name="box", max_messages=3, discard="old")
        assert wire.list("box", limit=1)["total"] == 5000
        assert wire.msg("box", "last") == {"msg_id": 5000}
        wait_until(lambda: wire.list("box")["total"] == 3)
        assert list(list_all(wire, "box")) == [4998, 4999, 5000]
        assert broker.metric("mq9fast_mailbox_messages_discarded_total") == 4998
        assert broker.metric("mq9fast_mailbox_messages") == 3
        assert broker.metric("mq9fast_mailbox_bytes") == 6


# Queue groups.


def test_messages_that_members_hold_are_passed_over(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, max_messages=3, discard="old")
    worker = member()
    publish(wire, address, "1", "2")
    held = worker.messages(2)
    worker.send("UNSUB 1 2\r\n")
    worker.ping()
    publish(wire, address, "3")
    publish(wire, address, "4")
    assert payloads(wire, address) == ["1", "2", "4"]
    publish(wire, address, "5", "6")
    assert payloads(wire, address) == ["1", "2", "6"]
    acknowledge(worker, held[0])
    worker.ping()
    publish(wire, address, "7", "8")
    assert payloads(wire, address) == ["2", "7", "8"]


def test_message_is_refused_if_members_hold_all(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, max_messages=2, max_bytes=10, discard="old")
    worker = member()
    publish(wire, address, "one", "two")
    worker.messages(2)
    for _ in range(3):
        assert wire.msg(address, "three")["code"] == "limit_exceeded"
    assert payloads(wire, address) == ["one", "two"]
    wire.create(name=address, max_messages=3)
    assert "msg_id" in wire.msg(address, "3")
    worker.messages(1)
    wire.create(name=address, max_messages=9)
    assert wire.msg(address, "four")["code"] == "limit_exceeded"
    assert payloads(wire, address) == ["one", "two", "3"]


@pytest.mark.parametrize("how", ["nak", "leave", "disconnect"])
def test_returned_message_is_dropped_and_not_given_out(
    wire: Wire, address: str, member: Connect, how: str
) -> None:
    """Also if it was passed over before."""
    wire.create(name=address, max_messages=2, discard="old")
    worker = member()
    publish(wire, address, "1")
    (held,) = worker.messages(1)
    wire.send(f"SUB {MAILBOX}MSG.{address}.critical g 9\r\n")
    worker.send("UNSUB 1 1\r\n") if how == "nak" else None
    publish(wire, address, "2")
    publish(wire, address, "3")
    if how == "nak":
        refuse(worker, held)
        worker.ping()
        assert payloads(wire, address) == ["1", "3"]
    elif how == "leave":
        worker.send("UNSUB 1\r\n")
        worker.ping()
    else:
        worker.close()
        wait_until(lambda: wire.list(address)["mailbox"]["groups"][0]["members"] == 1)
    stored = payloads(wire, address)
    publish(wire, address, "4")
    assert payloads(wire, address) == [*stored, "4"][1:]
    with_rest = member()
    assert texts(with_rest.messages(2)) == [*stored, "4"][1:]
    assert with_rest.silent()


def test_many_held_messages_are_passed_over_once(start_broker: StartBroker) -> None:
    """The time of a MSG does not grow with what members hold."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire, Wire(broker.port) as worker:
        wire.create(name="box", max_messages=50_000, discard="old")
        publish_many(wire, "box", 49_000, b"x")
        worker.subscribe("box", queue="g")
        for _ in islice(read_messages(worker), 49_000):
            pass
        worker.send("UNSUB 1 1\r\n")
        publish_many(wire, "box", 2000, b"x")
        used = broker.cpu_seconds
        publish_many(wire, "box", 20_000, b"x", at_once=10)
        wire.list("box", limit=1)
        assert broker.cpu_seconds - used < 5
        assert wire.list("box", limit=1)["total"] == 50_000


# One commit group, and many.


def test_only_the_last_of_a_commit_group_is_stored(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=1, discard="old")
    wire.subscribe(address)
    wire.sub("answers", "9")
    frame = f"PUB {MAILBOX}MSG.{address} answers 1\r\n"
    wire.send("".join(frame + f"{n % 10}\r\n" for n in range(500)))
    wire.ping()
    wire.list(address)
    answers = [message for message in wire.received if message.sid == "9"]
    delivered = [message for message in wire.received if message.sid == "1"]
    assert [answer.json for answer in answers] == [{"msg_id": n} for n in range(500)]
    assert delivered[-1].msg_id == 499
    assert len(delivered) < 100
    assert [message["msg_id"] for message in wire.list(address)["messages"]] == [499]


def test_status_that_is_written_a_million_times(start_broker: StartBroker) -> None:
    """One message, a bounded disk, and a subscriber that gets the last, none twice and none out of order."""
    broker = start_broker("--monitor-port", "0")
    count, body = 1_000_000, b"x" * 100
    with Wire(broker.port) as wire, Wire(broker.port) as reader:
        wire.create(name="status", max_messages=1, discard="old")
        reader.subscribe("status")
        reader.ping()
        thread = threading.Thread(target=publish_many, args=(wire, "status", count, body))
        thread.start()
        ids: list[int] = []
        while not ids or ids[-1] != count - 1:
            ids.append(reader.message().msg_id)
        thread.join()
        assert ids == sorted(set(ids))
        assert reader.silent()
        listed = wire.list("status")
        assert (listed["total"], [message["msg_id"] for message in listed["messages"]]) == (1, [count - 1])
        assert listed["mailbox"]["bytes"] == 100
        assert broker.metric("mq9fast_mailbox_messages_discarded_total") == count - 1
        assert disk_bytes(broker) < 40 << 20
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert [message["msg_id"] for message in wire.list("status")["messages"]] == [count - 1]
        assert wire.msg("status") == {"msg_id": count}


@pytest.mark.parametrize("size", [100, 3000])
def test_disk_is_bounded_if_each_message_is_a_commit_group(start_broker: StartBroker, size: int) -> None:
    broker = start_broker("--sync", "never", "--monitor-port", "0")
    count = 30_000
    with Wire(broker.port) as wire:
        wire.create(name="status", max_messages=10, discard="old")
        frame = f"PUB {MAILBOX}MSG.status {size}\r\n{'x' * size}\r\nPING\r\n".encode()
        for _ in range(count // 10):
            wire.send(frame)
            wire.line()
            publish_many(wire, "status", 9, b"x" * size)
        assert wire.list("status")["total"] == 10
        wait_until(lambda: disk_bytes(broker) < 30 << 20)


def test_slow_reader_gets_the_last_one(start_broker: StartBroker) -> None:
    """Its socket is full meanwhile, and it catches up from the store."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port, receive_bytes=4096) as reader, Wire(broker.port) as wire:
        wire.create(name="status", max_messages=1, discard="old")
        reader.subscribe("status")
        reader.ping()
        for _ in range(200):
            publish_many(wire, "status", 1, b"x" * 100_000)
        last = wire.msg("status", "last")["msg_id"]
        ids = [reader.message().msg_id]
        while ids[-1] != last:
            ids.append(reader.message().msg_id)
        assert ids == sorted(set(ids))
        assert reader.silent()


def test_large_status_is_written_again_while_a_thread_writes_it(start_broker: StartBroker) -> None:
    """The store does not have the message yet that the next one replaces."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="status", max_messages=2, discard="old")
        publish_many(wire, "status", 400, b"x" * 200_000, at_once=3)
        assert list(list_all(wire, "status")) == [398, 399]
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert list(list_all(wire, "status")) == [398, 399]
