"""Events of mailboxes: what a client hears that subscribes to `EVENT.{mail_address}`."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.machine import kernel_bytes
from tests.support.questions import answer, ask
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire, read_messages

StartBroker = Callable[..., Broker]
EVENT = f"{MAILBOX}EVENT."
WORKERS = 1000
DETAILS = ["", ".*"]
# What a busy machine may add to a second.
SLACK_SECONDS = 1.0


def watch(wire: Wire, address: str, sid: str = "e") -> None:
    wire.sub(EVENT + address, sid)


def next_event(wire: Wire) -> dict[str, Any]:
    message = wire.message()
    assert message.subject.startswith(EVENT) and message.reply == "" and message.header == b""
    event: dict[str, Any] = message.json
    return event


@pytest.mark.parametrize("detail", DETAILS)
def test_first_event_is_the_present_state(wire: Wire, address: str, detail: str) -> None:
    watch(wire, address + detail)
    assert next_event(wire) == {"event": "absent"}
    wire.create(name=address)
    assert next_event(wire) == {"event": "created"}
    wire.msg(address, "first")
    assert next_event(wire) == {"event": "waiting", "total": 1}
    wire.msg(address, "second")
    watch(wire, address + detail, "f")
    message = wire.message()
    assert (message.sid, message.subject) == ("f", EVENT + address + detail)
    assert message.json == {"event": "alive", "total": 2}
    assert wire.silent()


def test_first_event_comes_before_what_the_same_write_changes(wire: Wire, address: str) -> None:
    body = f'{{"name":"{address}"}}'
    create, message = f"{MAILBOX}CREATE", f"{MAILBOX}MSG.{address}"
    wire.send(
        f"SUB {EVENT}{address} a\r\nPUB {create} {len(body)}\r\n{body}\r\nSUB {EVENT}{address} b\r\n"
        f"PUB {message} 5\r\nfirst\r\nSUB {EVENT}{address} c\r\n"
    )
    heard: dict[str, list[Any]] = {}
    for each in wire.messages(6):
        heard.setdefault(each.sid, []).append(each.json)
    waiting = {"event": "waiting", "total": 1}
    assert heard == {
        "a": [{"event": "absent"}, {"event": "created"}, waiting],
        "b": [{"event": "alive", "total": 0}, waiting],
        "c": [{"event": "alive", "total": 1}],
    }
    assert wire.silent()


def test_no_event_follows_unsub_in_the_same_write(wire: Wire, address: str) -> None:
    wire.send(f"SUB {EVENT}{address} a\r\nUNSUB a\r\n")
    assert wire.silent()


def test_state_shows_when_the_mailbox_expires(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=60)
    watch(wire, address)
    event = next_event(wire)
    assert event == {"event": "alive", "total": 0, "expires_at": wire.list(address)["mailbox"]["expires_at"]}


def test_expired_and_created_again(wire: Wire, address: str) -> None:
    watch(wire, address)
    assert next_event(wire) == {"event": "absent"}
    for _ in range(2):
        wire.create(name=address, ttl=1)
        assert next_event(wire) == {"event": "created"}
        assert next_event(wire) == {"event": "expired"}
    wire.create(name=address)
    assert next_event(wire) == {"event": "created"}
    wire.create(name=address, ttl=60)
    assert wire.silent()


def test_create_in_the_moment_of_expiry(wire: Wire, address: str) -> None:
    """A CREATE ends a mailbox that is past its deadline first."""
    watch(wire, address)
    assert next_event(wire) == {"event": "absent"}
    wire.create(name=address, ttl=1)
    events = [next_event(wire)["event"]]
    while events.count("created") < 2:
        if wire.list(address).get("code") == "mailbox_not_found":
            wire.create(name=address)
        wire.ping()
        while wire.received:
            events.append(next_event(wire)["event"])
    assert events == ["created", "expired", "created"]


def test_auto_created_mailbox(start_broker: StartBroker) -> None:
    broker = start_broker("--auto-create")
    with Wire(broker.port) as wire:
        watch(wire, "box")
        assert next_event(wire) == {"event": "absent"}
        wire.msg("box", "first")
        assert [next_event(wire)["event"] for _ in range(2)] == ["created", "waiting"]


def test_waiting_once_when_there_is_mail_and_no_reader(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address)
    watch(wire, address)
    assert next_event(wire)["event"] == "alive"
    for number in range(3):
        wire.msg(address, f"{number}")
    assert next_event(wire) == {"event": "waiting", "total": 1}
    assert wire.silent(0.1)
    with Wire(broker.port) as reader:
        reader.subscribe(address)
        reader.messages(3)
        wire.msg(address, "3")
        assert wire.silent(0.1)
    assert next_event(wire) == {"event": "waiting", "total": 4}
    for msg_id in range(4):
        wire.delete(address, msg_id)
    with Wire(broker.port) as reader:
        reader.subscribe(address, queue="workers")
        reader.ping()
        wire.msg(address, "4")
        reader.subscribe(address, "2")
        reader.messages(2)
        reader.send("UNSUB 2\r\n")
        reader.ping()
        wire.delete(address, 4)
    assert wire.silent(0.1)
    wire.msg(address, "5")
    assert next_event(wire) == {"event": "waiting", "total": 1}


def test_settled_and_dropped_are_for_those_who_ask_for_details(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.create(name=f"{address}.asker")
    watch(wire, address, "plain")
    watch(wire, f"{address}.*", "details")
    assert {wire.message().sid, wire.message().sid} == {"plain", "details"}
    wire.subscribe(f"{address}", "reader")
    wire.msg(address, "task")
    ask(wire, address, "may I?", f"{address}.asker")
    ask(wire, address, "may I?", f"{address}.nobody")
    wire.messages(3)
    wire.delete(address, 0)
    wire.delete(address, 0)
    answer(wire, address, 1, "yes")
    answer(wire, address, 2, "yes")
    events = wire.messages(4)
    assert {event.sid for event in events} == {"details"}
    settled = {"event": "settled", "how": "answered"}
    assert [event.json for event in events] == [
        {"event": "settled", "msg_id": 0, "how": "deleted"},
        {**settled, "msg_id": 1, "answer": {"mail_address": f"{address}.asker", "msg_id": 0}},
        {"event": "dropped", "msg_id": 2, "reason": "mailbox_not_found"},
        {**settled, "msg_id": 2, "answer": None},
    ]
    assert wire.silent(0.1)


def test_event_names_who_settled_a_message(start_broker: StartBroker) -> None:
    broker = start_broker("--user", 'a "b" \\', "--password", "secret")
    with Wire(broker.port, {"user": 'a "b" \\', "pass": "secret"}) as wire:
        wire.create(name="box")
        watch(wire, "box.*")
        assert next_event(wire)["event"] == "alive"
        wire.msg("box", "task")
        assert next_event(wire)["event"] == "waiting"
        wire.delete("box", 0)
        assert next_event(wire) == {"event": "settled", "msg_id": 0, "how": "deleted", "by": 'a "b" \\'}


@pytest.mark.parametrize("tail", ["", "*", ">", "A", "a.>", "*.a", "a.*.*", "a.urgent", "a..b", ".*", "a."])
def test_other_subjects_are_refused(wire: Wire, tail: str) -> None:
    wire.send(f"SUB {EVENT}{tail} 1\r\nPING\r\n")
    assert wire.line().startswith("-ERR")
    assert wire.line() == "PONG"


@pytest.mark.parametrize("detail", DETAILS)
def test_queue_name_is_refused(wire: Wire, address: str, detail: str) -> None:
    subject = EVENT + address + detail
    wire.sub(subject, "1", "group")
    assert (
        wire.line() == f'-ERR \'Permissions Violation for Subscription to "{subject}" using queue "group"\''
    )


def test_unsub_and_unsub_with_a_maximum(wire: Wire, address: str) -> None:
    watch(wire, address, "1")
    watch(wire, address, "2")
    wire.send("UNSUB 1 2\r\n")
    assert [wire.message().json["event"] for _ in range(2)] == ["absent"] * 2
    wire.create(name=address)
    assert {message.sid for message in wire.messages(2)} == {"1", "2"}
    wire.msg(address, "first")
    assert wire.message().sid == "2"
    wire.send("UNSUB 2\r\n")
    wire.delete(address, 0)
    wire.msg(address, "second")
    assert wire.silent(0.1)


def test_client_cannot_publish_events_and_wildcards_do_not_see_them(wire: Wire, address: str) -> None:
    wire.sub(">", "spy")
    watch(wire, address)
    assert next_event(wire)["event"] == "absent"
    assert wire.request(EVENT + address, '{"event":"created"}').json["code"] == "unknown_command"
    wire.create(name=address)
    assert next_event(wire) == {"event": "created"}
    assert wire.silent(0.1)


def test_no_event_before_its_commit_is_durable(wire: Wire, address: str) -> None:
    """The reply to a request follows its events: both wait for the same commit."""
    watch(wire, address)
    assert next_event(wire)["event"] == "absent"
    wire.sub("replies", "r")
    wire.pub(MAILBOX + "CREATE", f'{{"name":"{address}"}}', "replies")
    assert [message.sid for message in wire.messages(2)] == ["e", "r"]


def test_watching_costs_no_commit(start_broker: StartBroker) -> None:
    broker = start_broker("--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.msg("box", "first")
        before = broker.metric("mq9fast_sync_seconds_count")
        for number in range(20):
            watch(wire, "box", f"e{number}")
            with Wire(broker.port) as reader:
                reader.subscribe("box")
                reader.message()
        assert wire.message().json == {"event": "alive", "total": 1}
        wait_until(lambda: broker.metric("mq9fast_events_total") >= 40)
        assert broker.metric("mq9fast_sync_seconds_count") <= before + 1


def test_full_socket_loses_events_and_then_hears_the_state(start_broker: StartBroker) -> None:
    broker = start_broker("--sync", "never", "--monitor-port", "0")
    with Wire(broker.port) as sender, Wire(broker.port, receive_bytes=4096) as watcher:
        sender.create(name="box")
        watch(watcher, "box.*")
        assert next_event(watcher)["event"] == "alive"
        deletions = f"PUB {MAILBOX}MSG.box 1\r\nx\r\nPUB {MAILBOX}DELETE.box.{{}} 0\r\n\r\n"
        sent = 0
        while broker.metric("mq9fast_events_lost_total") == 0:
            sender.send("".join(deletions.format(sent + n) for n in range(2000)))
            sent += 2000
            sender.ping()
            assert sent * 60 < 20 * kernel_bytes() + (1 << 24)
        sender.create(name="box", ttl=1)
        time.sleep(2)
        events = []
        for message in read_messages(watcher):
            events.append(message.json)
            if events[-1]["event"] == "absent":
                break
        assert sum(event["event"] == "settled" for event in events) < sent
        sender.create(name="box")
        assert watcher.message().json == {"event": "created"}


def test_orchestrator_hears_of_each_death_within_a_second(start_broker: StartBroker) -> None:
    """It subscribes to the events of 1,000 workers, of which every second one dies, and polls nothing."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as workers, Wire(broker.port) as orchestrator:
        for number in range(WORKERS):
            watch(orchestrator, f"status.w{number}", f"{number}")
        assert [message.json["event"] for message in orchestrator.messages(WORKERS)] == ["absent"] * WORKERS
        for number in range(WORKERS):
            ttl = 2 if number % 2 else 600
            workers.pub(MAILBOX + "CREATE", f'{{"name":"status.w{number}","ttl":{ttl}}}')
        began = time.monotonic()
        workers.ping()
        created = time.monotonic()
        assert {message.json["event"] for message in orchestrator.messages(WORKERS)} == {"created"}
        dead = set()
        for message in read_messages(orchestrator, WAIT_SECONDS):
            assert message.json == {"event": "expired"}
            assert began + 2 - 0.01 <= time.monotonic() <= created + 2 + 1 + SLACK_SECONDS
            dead.add(int(message.sid))
            if len(dead) == WORKERS // 2:
                break
        assert dead == set(range(1, WORKERS, 2))
        assert orchestrator.silent(0.5)
