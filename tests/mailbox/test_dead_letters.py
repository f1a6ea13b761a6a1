"""Dead letters: max_deliver, dead_letter and +TERM."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, fill_mailbox, refuse, reply
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Message, Wire

Start = Callable[..., Broker]


def messages_of(wire: Wire, address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = wire.list(address).get("messages", [])
    return found


def refuse_each(member: Wire, count: int) -> None:
    for _ in range(count):
        refuse(member, member.message())


def test_message_that_fails_too_often_becomes_a_dead_letter(
    wire: Wire, address: str, member: Connect
) -> None:
    """It keeps its headers, bytes and priority. The missing target is created, private and without TTL."""
    target = f"{address}.dead"
    created = wire.create(name=address, max_deliver=3, dead_letter=target, ttl=60)
    assert created["options"] == {"max_in_flight": 1, "max_deliver": 3, "dead_letter": target}
    header = b"NATS/1.0\r\nA: 1\r\n\r\n"
    assert wire.msg(f"{address}.urgent", b"\xff\0", header) == {"msg_id": 0}
    one = member()
    refuse_each(one, 3)
    assert one.silent(0.1)
    assert wire.list(address)["total"] == 0
    page = wire.list(target)
    [dead] = page["messages"]
    assert dead["priority"] == "urgent"
    assert dead["payload_base64"] == "/wA="
    assert dead["headers"] == {
        "A": "1",
        "Mq9-Dead-From": f"{address}/0",
        "Mq9-Dead-Reason": "max_deliver",
        "Mq9-Deliveries": "3",
    }
    assert not page["mailbox"]["public"]
    assert page["mailbox"]["ttl"] == 0
    # Sent back, it is an ordinary message.
    wire.subscribe(target)
    message = wire.message()
    assert message.header.startswith(b"NATS/1.0\r\nA: 1\r\n")
    assert wire.msg(address, message.payload, message.header)["msg_id"] == 1
    assert one.message().header == b"NATS/1.0\r\nA: 1\r\n\r\n"


def test_subscriber_of_the_target_gets_it_live(wire: Wire, address: str, member: Connect) -> None:
    target = f"{address}.dead"
    wire.create(name=address, max_deliver=1, dead_letter=target)
    wire.subscribe(target)
    fill_mailbox(wire, address, "n0")
    one = member()
    one.message()
    one.close()
    message = wire.message()
    assert message.payload == b"n0"
    assert b"Mq9-Dead-Reason: max_deliver\r\nMq9-Deliveries: 1\r\n" in message.header


@pytest.mark.parametrize("text", ["", " no such file", "\r\nX: \x01y" + "é" * 300])
def test_term_makes_a_dead_letter_at_once(wire: Wire, address: str, member: Connect, text: str) -> None:
    target = f"{address}.dead"
    wire.create(name=address, dead_letter=target)
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    assert one.request(message.reply, f"+TERM{text}").json == {"deleted": True}
    assert one.request(message.reply, f"+TERM{text}").json == {"deleted": False}
    [dead] = messages_of(wire, target)
    assert dead["headers"]["Mq9-Dead-Reason"] == "terminated"
    assert dead["headers"]["Mq9-Deliveries"] == "1"
    said = dead["headers"].get("Mq9-Dead-Text", "")
    assert said == "".join(" " if c < " " else c for c in text).strip()[: len(said)]
    assert len(said.encode()) <= 512
    assert bool(said) == bool(text)
    assert "X" not in dead["headers"]
    assert wire.list(address)["total"] == 0


def test_without_a_target_it_is_dropped_and_counted(start_broker: Start) -> None:
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="tasks", max_deliver=2)
        wire.msg("tasks", "a")
        wire.msg("tasks", "b")
        wire.subscribe("tasks", queue="g")
        refuse_each(wire, 2)
        reply(wire, wire.message(), "+TERM")
        wait_until(lambda: wire.list("tasks")["total"] == 0)
    assert broker.metric("mq9fast_mailbox_dead_letters_dropped_total") == 2
    assert broker.metric("mq9fast_mailbox_dead_letters_total") == 0


def test_dead_letter_that_fails_again_is_dropped(wire: Wire, address: str, member: Connect) -> None:
    target = f"{address}.dead"
    wire.create(name=address, max_deliver=1, dead_letter=target)
    wire.create(name=target, max_deliver=1, dead_letter=f"{address}.more")
    fill_mailbox(wire, address, "n0")
    refuse_each(member(), 1)
    wire.subscribe(target, queue="g")
    refuse(wire, wire.message())
    wait_until(lambda: wire.list(target)["total"] == 0)
    assert wire.list(f"{address}.more")["code"] == "mailbox_not_found"


def test_full_target_takes_it_later(wire: Wire, address: str, member: Connect) -> None:
    """Until then nobody gets it."""
    target = f"{address}.dead"
    wire.create(name=address, max_deliver=1, dead_letter=target)
    wire.create(name=target, max_messages=1)
    wire.msg(target, "in the way")
    fill_mailbox(wire, address, "n0")
    one = member()
    refuse_each(one, 1)
    assert one.silent(1.2)
    assert member("other").silent(0.2)
    assert [each["payload"] for each in messages_of(wire, address)] == ["n0"]
    wire.delete(target, 0)
    wait_until(lambda: wire.list(address)["total"] == 0)
    assert [each["payload"] for each in messages_of(wire, target)] == ["n0"]


def test_options_of_dead_letters(wire: Wire, address: str) -> None:
    assert wire.create(name=address, dead_letter=address)["code"] == "bad_request"
    for wrong in ("A", "a..b", "x.urgent", "é", "x" * 129):
        assert wire.create(name=address, dead_letter=wrong)["code"] == "bad_request"
    for wrong in (1, ["a"], True):
        assert wire.create(name=address, dead_letter=wrong)["code"] == "bad_request"
    for wrong in (-1, 1.5, "1", True):
        assert wire.create(name=address, max_deliver=wrong)["code"] == "bad_request"
    created = wire.create(name=address, dead_letter="d", max_deliver=9, max_in_flight=0)
    assert created["options"] == {"max_deliver": 9, "dead_letter": "d"}
    assert wire.create(name=address, dead_letter="")["options"] == {"max_deliver": 9}
    assert wire.create(name=address, max_deliver=0)["options"] == {}


KILLER = (
    "import os, signal, sys; from tests.support.wire_client import Wire\n"
    "wire = Wire(int(sys.argv[1])); wire.subscribe('tasks', queue='g')\n"
    "wire.message(); os.kill(os.getpid(), signal.SIGKILL)"
)


@pytest.mark.parametrize("kill_broker", [False, True])
def test_task_that_kills_its_workers_becomes_a_dead_letter(start_broker: Start, kill_broker: bool) -> None:
    """Also if the broker is killed after each try."""
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="tasks", max_deliver=3, dead_letter="dead")
        wire.msg("tasks", "poison")
    for number in (1, 2, 3):
        with subprocess.Popen([sys.executable, "-c", KILLER, str(broker.port)]) as worker:
            worker.wait()
        with Wire(broker.port) as wire:
            if number < 3:
                wait_until(lambda: messages_of(wire, "tasks")[0].get("deliveries") == number)  # noqa: B023
            else:
                wait_until(lambda: wire.list("tasks")["total"] == 0)
        if kill_broker:
            broker.restart(kill=True)
    with Wire(broker.port) as wire:
        [dead] = messages_of(wire, "dead")
        assert dead["payload"] == "poison"
        assert dead["headers"] == {
            "Mq9-Dead-From": "tasks/0",
            "Mq9-Dead-Reason": "max_deliver",
            "Mq9-Deliveries": "3",
        }
        assert wire.list("tasks")["total"] == 0


def test_kill_in_between_loses_and_doubles_no_dead_letter(start_broker: Start) -> None:
    """Each message is either in its mailbox or a dead letter."""
    count = 2000
    broker = start_broker("--sync", "interval")
    with Wire(broker.port) as wire:
        wire.create(name="tasks", max_deliver=1, dead_letter="dead", max_in_flight=0)
        for n in range(count):
            wire.pub(f"{MAILBOX}MSG.tasks", str(n))
        with Wire(broker.port) as one:
            one.subscribe("tasks", queue="g")
            one.messages(count)
        time.sleep(0.03)
        broker.kill()
    broker.start()

    def stored(address: str) -> list[str]:
        with Wire(broker.port) as wire:
            total = wire.list(address, limit=1).get("total", 0)
            wire.subscribe(address)
            found: list[Message] = wire.messages(total)
            return [message.payload.decode() for message in found]

    assert sorted(map(int, stored("tasks") + stored("dead"))) == list(range(count))


def test_those_who_want_to_know_are_told(wire: Wire, address: str, member: Connect) -> None:
    """By a receipt, and by an event."""
    log, target = f"{address}.log", f"{address}.dead"
    wire.create(name=log)
    wire.create(name=address, max_deliver=1, dead_letter=target)
    wire.sub(f"{MAILBOX}EVENT.{address}.*", "9")
    wire.msg(address, "n0", f"NATS/1.0\r\nMq9-Receipt-To: {log}\r\n\r\n".encode())
    one = member()
    refuse_each(one, 1)
    wait_until(lambda: wire.list(address)["total"] == 0)
    wire.create(name=address, dead_letter="")
    wire.msg(address, "n1")
    reply(one, one.message(), "+TERM")
    wait_until(lambda: wire.list(address)["total"] == 0)
    assert [json.loads(each["payload"]) for each in messages_of(wire, log)] == [
        {"mail_address": address, "msg_id": 0, "event": "dead", "reason": "max_deliver"}
    ]
    assert [each["headers"].get("Mq9-Receipt-To") for each in messages_of(wire, target)] == [log]
    wire.ping()
    events = [message.json for message in wire.received if message.sid == "9"]
    assert [event for event in events if "msg_id" in event] == [
        {"event": "dead_letter", "msg_id": 0, "reason": "max_deliver"},
        {"event": "dropped", "msg_id": 1, "reason": "terminated"},
    ]
