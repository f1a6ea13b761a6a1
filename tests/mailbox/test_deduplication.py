"""Nats-Msg-Id: a repeated MSG stores nothing, within the window, across restarts, and in no other mailbox."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq9fast.errors import REASONS
from tests.support.broker import Broker
from tests.support.data_directory import rows_of
from tests.support.faults.clocks import Clocks
from tests.support.mailbox import exists
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

StartBroker = Callable[..., Broker]
HOUR = 3600


def with_id(message_id: str | bytes) -> bytes:
    value = message_id.encode() if isinstance(message_id, str) else message_id
    return b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % value


def send(wire: Wire, address: str, message_id: str | bytes, payload: str = "x") -> dict[str, Any]:
    return wire.msg(address, payload, with_id(message_id))


def duplicate(msg_id: int) -> dict[str, Any]:
    return {"msg_id": msg_id, "duplicate": True}


def id_rows(data_dir: Path) -> list[bytes]:
    """The keys of rows of Nats-Msg-Ids."""
    return [key for key in rows_of(data_dir, b"m") if key[9] == 3]


def test_repeated_message_stores_nothing(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    assert send(wire, address, "a", "first") == {"msg_id": 0}
    assert send(wire, address, "a", "another text") == duplicate(0)
    assert send(wire, f"{address}.critical", "a") == duplicate(0)
    assert send(wire, address, "b") == {"msg_id": 1}
    assert send(wire, address, "a") == duplicate(0)
    assert wire.msg(address, "without an id") == {"msg_id": 2}
    assert [message["msg_id"] for message in wire.list(address)["messages"]] == [0, 1, 2]
    assert [message.payload for message in wire.messages(3)] == [b"first", b"x", b"without an id"]
    assert wire.silent()


def test_mailboxes_do_not_share_ids(wire: Wire, address: str) -> None:
    for name in (address, address + "-other"):
        wire.create(name=name)
        assert send(wire, name, "a") == {"msg_id": 0}
        assert send(wire, name, "a") == duplicate(0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "A"),
        ("a", "a "[:1] + "a"),
        ("1", "01"),
        ("x" * 1000, "x" * 1001),
        ("x" * 999 + "y", "x" * 1000),
        (b"\xff", b"\xfe"),
        ("ą", "a"),
    ],
)
def test_other_id_is_another_message(wire: Wire, address: str, one: bytes, other: bytes) -> None:
    wire.create(name=address)
    assert [send(wire, address, each) for each in (one, other)] == [{"msg_id": 0}, {"msg_id": 1}]
    assert [send(wire, address, each) for each in (one, other)] == [duplicate(0), duplicate(1)]


def test_blanks_around_an_id_and_the_case_of_the_name_do_not_count(wire: Wire, address: str) -> None:
    wire.create(name=address)
    assert send(wire, address, "a b") == {"msg_id": 0}
    assert send(wire, address, "\t a b ") == duplicate(0)
    assert wire.msg(address, "x", b"NATS/1.0\r\nnats-msg-ID:a b\r\n\r\n") == duplicate(0)


@pytest.mark.parametrize("value", [b"", b" \t"])
def test_empty_id_is_refused(wire: Wire, address: str, value: bytes) -> None:
    wire.create(name=address)
    refused = {"error": REASONS["bad_request: empty_header"], "code": "bad_request"}
    assert send(wire, address, value) == refused
    assert wire.list(address)["total"] == 0


def test_id_is_remembered_although_its_message_is_deleted(wire: Wire, address: str) -> None:
    wire.create(name=address)
    assert send(wire, address, "a") == {"msg_id": 0}
    assert wire.delete(address, 0) == {"deleted": True}
    assert send(wire, address, "a") == duplicate(0)
    assert wire.list(address)["total"] == 0


def test_refused_message_is_not_remembered(wire: Wire, address: str) -> None:
    assert send(wire, address, "a")["code"] == "mailbox_not_found"
    wire.create(name=address, max_messages=1)
    assert send(wire, address, "a") == {"msg_id": 0}
    assert send(wire, address, "b")["code"] == "limit_exceeded"
    # Before limits are checked.
    assert send(wire, address, "a") == duplicate(0)
    wire.delete(address, 0)
    assert send(wire, address, "b") == {"msg_id": 1}


def test_pipelined_repetitions_are_found(wire: Wire, address: str) -> None:
    """In one commit group, and with a plain publish first."""
    wire.create(name=address)
    wire.sub("answers", "9")
    header = with_id("a")
    frame = f"HPUB {MAILBOX}MSG.{address} answers {len(header)} {len(header) + 1}\r\n".encode() + header
    plain = frame.replace(b" answers", b"")
    wire.send(plain + b"0\r\n" + (frame + b"1\r\n") * 500)
    assert [message.json for message in wire.messages(500)] == [duplicate(0)] * 500
    assert [message["payload"] for message in wire.list(address)["messages"]] == ["0"]


def test_repeated_plain_publishes_are_dropped_and_counted(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        for _ in range(5):
            wire.pub(f"{MAILBOX}MSG.box", "x", header=with_id("a"))
        assert wire.list("box")["total"] == 1
        assert broker.metric("mq9fast_mailbox_duplicates_total") == 4
        assert broker.metric("mq9fast_mailbox_messages_dropped_total") == 0
        assert broker.metric("mq9fast_remembered_ids") == 1


def test_auto_create_remembers_the_first_message(start_broker: StartBroker) -> None:
    broker = start_broker("--auto-create")
    with Wire(broker.port) as wire:
        assert send(wire, "box", "a") == {"msg_id": 0}
        assert send(wire, "box", "a") == duplicate(0)


def test_repetition_does_not_renew_the_mailbox(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=2)
    send(wire, address, "a")
    end = time.monotonic() + WAIT_SECONDS
    while send(wire, address, "a") == duplicate(0):
        assert time.monotonic() < end
    assert not exists(wire, address)
    wire.create(name=address)
    assert send(wire, address, "a") == {"msg_id": 0}


# The window.


def test_window_ends(wire: Wire, address: str) -> None:
    wire.create(name=address, duplicate_window=1.5)
    began = time.monotonic()
    send(wire, address, "a")
    while (reply := send(wire, address, "a")) == duplicate(0):
        assert time.monotonic() < began + WAIT_SECONDS
    assert reply == {"msg_id": 1}
    assert time.monotonic() - began > 1.5
    assert send(wire, address, "a") == duplicate(1)


@pytest.mark.parametrize("window", [-1, "1", True, None, 3162240001, [1], 1e300])
def test_wrong_window_is_refused(wire: Wire, address: str, window: Any) -> None:
    reply = wire.create(name=address, duplicate_window=window)
    if window is None:
        assert "options" not in reply
    else:
        assert reply["code"] == "bad_request"
        assert "$.duplicate_window" in reply["error"]


def test_window_is_shown_unless_it_is_the_default(wire: Wire, address: str) -> None:
    for window, shown in ((60, {"duplicate_window": 60}), (0.25, {"duplicate_window": 0.25}), (120, {})):
        assert wire.create(name=address, duplicate_window=window)["options"] == shown
    assert wire.create(name=address, duplicate_window=0)["options"] == {"duplicate_window": 0}
    assert wire.create(name=address, max_bytes=9)["options"] == {"duplicate_window": 0, "max_bytes": 9}
    assert wire.create(name=address, duplicate_window=3162240000)["options"]["duplicate_window"] == 3162240000


def test_window_of_0_remembers_nothing(wire: Wire, address: str) -> None:
    wire.create(name=address, duplicate_window=0)
    assert [send(wire, address, "a")["msg_id"] for _ in range(3)] == [0, 1, 2]
    wire.create(name=address, duplicate_window=100)
    assert send(wire, address, "a") == {"msg_id": 3}
    assert send(wire, address, "a") == duplicate(3)
    wire.create(name=address, duplicate_window=0)
    assert send(wire, address, "a") == {"msg_id": 4}


def test_changed_window_applies_to_remembered_ids(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box", duplicate_window=1000)
        send(wire, "box", "a")
        time.sleep(1.1)
        send(wire, "box", "b")
        wire.create(name="box", duplicate_window=1)
        wait_until(lambda: broker.metric("mq9fast_remembered_ids") == 0)
        assert send(wire, "box", "a") == {"msg_id": 2}
        wire.create(name="box", duplicate_window=1000)
        time.sleep(1.1)
        assert send(wire, "box", "a") == duplicate(2)


# The store.


@pytest.mark.parametrize("sync", ["always", "interval", "never"])
@pytest.mark.parametrize("kill", [True, False], ids=["kill", "stop"])
def test_ids_survive_a_restart(start_broker: StartBroker, sync: str, kill: bool) -> None:
    """A client that repeats 10,000 sends, because it did not see the replies, stores each once."""
    broker = start_broker("--sync", sync, "--monitor-port", "0")
    count = 10_000
    with Wire(broker.port) as wire:
        wire.create(name="box")
        publish_with_ids(wire, count // 2)
        wire.list("box", limit=1)
        # The broker is killed with these in its sockets, in a commit group, or in the store.
        publish_with_ids(wire, count)
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        publish_with_ids(wire, count)
        assert wire.list("box", limit=1)["total"] == count
        assert broker.metric("mq9fast_remembered_ids") == count
        assert broker.metric("mq9fast_mailbox_duplicates_total") >= count // 2
        wire.subscribe("box")
        assert {message.payload for message in wire.messages(count)} == {b"%d" % n for n in range(count)}
        assert send(wire, "box", "7")["duplicate"]


def publish_with_ids(wire: Wire, count: int) -> None:
    frames = []
    for n in range(count):
        header = with_id(f"{n}")
        line = f"HPUB {MAILBOX}MSG.box {len(header)} {len(header) + len(str(n))}\r\n"
        frames.append(line.encode() + header + b"%d\r\n" % n)
    wire.send(b"".join(frames))
    wire.ping()


def test_ids_whose_window_ended_while_the_broker_was_down_are_forgotten(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box", duplicate_window=1)
        send(wire, "box", "a")
    broker.kill()
    time.sleep(1.2)
    broker.start()
    with Wire(broker.port) as wire:
        assert send(wire, "box", "a") == {"msg_id": 1}
        assert send(wire, "box", "a") == duplicate(1)
        wait_until(lambda: broker.metric("mq9fast_remembered_ids") == 0)


def test_rows_of_forgotten_ids_are_deleted(start_broker: StartBroker, tmp_path: Path) -> None:
    """Those of an earlier broker too, although nobody sends to the mailbox."""
    clocks = Clocks(tmp_path)
    broker = start_broker("--monitor-port", "0", env=clocks.env)

    def wait_until_remembered(count: int) -> None:
        wait_until(lambda: broker.metric("mq9fast_remembered_ids") == count)
        broker.stop()
        assert len(id_rows(broker.data_dir)) == count

    with Wire(broker.port) as wire:
        for name, hours, count in (("short", 1, 5), ("idle", 3, 7), ("long", 5, 10)):
            wire.create(name=name, duplicate_window=hours * HOUR)
            for n in range(count):
                send(wire, name, f"{n}")
    clocks.pass_time(2 * HOUR)
    wait_until_remembered(17)
    clocks.pass_time(2 * HOUR)
    # Ids are loaded in the order of the mailboxes: once it has those of `long`, it has forgotten the others.
    broker.start()
    wait_until_remembered(10)
    broker.start()
    wait_until(lambda: broker.metric("mq9fast_remembered_ids") == 10)
    clocks.pass_time(2 * HOUR)
    wait_until_remembered(0)
    broker.start()
    with Wire(broker.port) as wire:
        assert send(wire, "idle", "1") == {"msg_id": 7}


@pytest.mark.parametrize("restart", [False, True])
def test_rows_of_an_ended_mailbox_are_purged(start_broker: StartBroker, restart: bool) -> None:
    """Even if it has no messages."""
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box", ttl=2 if restart else 1)
        for n in range(5):
            send(wire, "box", f"{n}")
            wire.delete("box", n)
    if restart:
        broker.restart(kill=True)
    with Wire(broker.port) as wire:
        wait_until(lambda: not exists(wire, "box"))
        wait_until(lambda: broker.metric("mq9fast_remembered_ids") == 0)
        wire.create(name="box")
        assert send(wire, "box", "1") == {"msg_id": 0}

    def rows_after_a_restart() -> int:
        broker.stop()
        count = len(id_rows(broker.data_dir))
        broker.start()
        return count

    wait_until(lambda: rows_after_a_restart() == 1)


# Clients.


def test_js_publish_of_nats_py_with_an_id(broker: Broker, address: str) -> None:
    """nats-py cannot read the reply, but repeats store nothing."""
    replies = []

    async def publish() -> None:
        client = await connect(broker.url)
        await client.request(f"{MAILBOX}CREATE", json.dumps({"name": address}).encode())
        for _ in range(3):
            reply = await client.request(f"{MAILBOX}MSG.{address}", b"order", headers={"Nats-Msg-Id": "o1"})
            replies.append(json.loads(reply.data))
        await client.close()

    asyncio.run(publish())
    assert replies == [{"msg_id": 0}, duplicate(0), duplicate(0)]
