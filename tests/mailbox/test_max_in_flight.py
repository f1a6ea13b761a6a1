"""The option max_in_flight: how many unanswered messages one member of a queue group may hold."""

import threading
import time
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import MSG, Connect, acknowledge, fill_mailbox, refuse, take_received, texts
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire, read_messages

WORK_SECONDS = 0.01
TASKS = 1000
WORKERS = 10


def limit(wire: Wire, address: str, count: int) -> None:
    created = wire.create(name=address, max_in_flight=count)
    assert created["options"] == ({"max_in_flight": count} if count else {})


def test_member_holds_no_more_than_the_limit(wire: Wire, address: str, member: Connect) -> None:
    """The rest stays in the mailbox for members that join later."""
    limit(wire, address, 2)
    fill_mailbox(wire, address, "n0", "n1", "n2", "n3", "n4")
    one = member()
    assert texts(one.messages(2)) == ["n0", "n1"]
    assert one.silent(0.03)
    other = member()
    assert texts(other.messages(2)) == ["n2", "n3"]
    assert other.silent(0.03) and one.silent(0.03)


def test_each_answer_makes_room_for_one_message(wire: Wire, address: str, member: Connect) -> None:
    """A message that was given back goes to a member that is free, here the same one."""
    limit(wire, address, 1)
    fill_mailbox(wire, address, "n0", "n1", "n2")
    one = member()
    first = one.message()
    acknowledge(one, first)
    second = one.message()
    refuse(one, second)
    again = one.message()
    assert texts([first, second, again]) == ["n0", "n1", "n1"]
    assert wire.delete(address, again.msg_id) == {"deleted": True}
    assert texts([one.message()]) == ["n2"]
    assert one.silent(0.03)


def test_limit_counts_all_priorities_and_the_most_urgent_is_given_next(
    wire: Wire, address: str, member: Connect
) -> None:
    limit(wire, address, 1)
    fill_mailbox(wire, address, "n0", "n1", "u0")
    one = member()
    for text, arriving in (("u0", "n2"), ("n0", "u1"), ("u1", "c0"), ("c0", ""), ("n1", ""), ("n2", "")):
        message = one.message()
        assert texts([message]) == [text]
        if arriving:
            fill_mailbox(wire, address, arriving)
        assert one.silent(0.02)
        acknowledge(one, message)


def test_live_messages_go_to_members_that_are_free(wire: Wire, address: str, member: Connect) -> None:
    limit(wire, address, 1)
    members = [member() for _ in range(3)]
    fill_mailbox(wire, address, "n0", "n1", "n2", "n3")
    held = [one.message() for one in members]
    assert sorted(texts(held)) == ["n0", "n1", "n2"]
    acknowledge(members[1], held[1])
    assert texts([members[1].message()]) == ["n3"]
    fill_mailbox(wire, address, "n4")
    assert all(one.silent(0.02) for one in members)
    members[0].close()
    acknowledge(members[2], held[2])
    # What the member that left had is older.
    assert texts([members[2].message()]) == texts([held[0]])


def test_limit_holds_for_each_subscription_and_each_group(wire: Wire, address: str, broker: Broker) -> None:
    limit(wire, address, 1)
    fill_mailbox(wire, address, "n0", "n1", "n2")
    with Wire(broker.port) as one:
        for sid in ("1", "2"):
            one.sub(MSG + address, sid, "g")
        one.sub(MSG + address, "3", "other")
        got = one.messages(3)
        assert sorted((message.sid, message.msg_id) for message in got) == [("1", 0), ("2", 1), ("3", 0)]
        assert one.silent(0.03)


def test_plain_subscription_has_no_limit(wire: Wire, address: str) -> None:
    limit(wire, address, 1)
    fill_mailbox(wire, address, "n0", "n1", "n2")
    wire.subscribe(address)
    assert texts(wire.messages(3)) == ["n0", "n1", "n2"]


def test_changed_limit_acts_on_members_that_are_there(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    one = member()
    held = one.messages(2)
    limit(wire, address, 1)
    fill_mailbox(wire, address, "n2", "n3", "n4", "n5")
    acknowledge(one, held[0])
    assert one.silent(0.03)
    acknowledge(one, held[1])
    assert texts([one.message()]) == ["n2"]
    limit(wire, address, 3)
    assert texts(one.messages(2)) == ["n3", "n4"]
    assert one.silent(0.03)
    limit(wire, address, 0)
    assert texts([one.message()]) == ["n5"]


def test_limit_of_an_ended_mailbox_does_not_hold_in_the_next_one(
    wire: Wire, address: str, member: Connect
) -> None:
    wire.create(name=address, max_in_flight=1, ttl=1)
    one = member()
    fill_mailbox(wire, address, "n0", "n1")
    assert texts(one.messages(1)) == ["n0"]
    wait_until(lambda: "code" in wire.list(address))
    fill_mailbox(wire, address, "n2", "n3")
    assert texts(one.messages(2)) == ["n2", "n3"]


def test_member_that_fetches_one_holds_one(wire: Wire, address: str, broker: Broker) -> None:
    """UNSUB with a maximum: each subscription has its own limit, and ends after its answer."""
    limit(wire, address, 1)
    fill_mailbox(wire, address, "n0", "n1", "n2")
    with Wire(broker.port) as one:
        for n in range(3):
            one.send(f"SUB {MSG}{address} g {n}\r\nUNSUB {n} 1\r\n")
        held = one.messages(3)
        assert sorted(texts(held)) == ["n0", "n1", "n2"]
        for message in held:
            acknowledge(one, message)
        wait_until(lambda: wire.list(address)["total"] == 0)


@pytest.mark.parametrize("kill", [False, True])
def test_limit_survives_a_restart(start_broker: Callable[..., Broker], kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        limit(wire, "tasks", 1)
        fill_mailbox(wire, "tasks", "n0", "n1")
    broker.restart(kill=kill)
    with Wire(broker.port) as one:
        one.subscribe("tasks", queue="g")
        message = one.message()
        assert one.silent(0.03)
        acknowledge(one, message)
        assert texts([one.message()]) == ["n1"]


def test_deletion_that_fails_does_not_raise_the_limit(
    wire: Wire, address: str, member: Connect, broker: Broker
) -> None:
    """Two answers to one message make room once."""
    limit(wire, address, 1)
    fill_mailbox(wire, address, "n0", "n1", "n2")
    one = member()
    first = one.message()
    for _ in range(3):
        acknowledge(one, first)
    assert texts([one.message()]) == ["n1"]
    assert one.silent(0.03)


def test_workers_that_join_share_a_backlog(start_broker: Callable[..., Broker]) -> None:
    """One worker of 10 ms has 1,000 tasks. Nine join at once: all are done in about a tenth of the time."""
    broker = start_broker("--sync", "interval")
    done: list[int] = []

    def work(first: bool) -> None:
        with Wire(broker.port) as worker:
            worker.subscribe("tasks", queue="g")
            try:
                for message in read_messages(worker, 1.0):
                    time.sleep(WORK_SECONDS)
                    done.append(message.msg_id)
                    acknowledge(worker, message)
                    if first and len(done) == 1:
                        started.set()
            except (TimeoutError, EOFError):
                pass

    started = threading.Event()
    with Wire(broker.port) as wire:
        limit(wire, "tasks", 1)
        wire.send(f"PUB {MAILBOX}MSG.tasks 1\r\nx\r\n" * TASKS)
        wire.ping()
        threads = [threading.Thread(target=work, args=(n == 0,)) for n in range(WORKERS)]
        threads[0].start()
        assert started.wait(WAIT_SECONDS)
        began = time.monotonic()
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: len(done) == TASKS, WAIT_SECONDS)
        seconds = time.monotonic() - began
        for thread in threads:
            thread.join()
        assert sorted(done) == list(range(TASKS))
        assert wire.list("tasks")["total"] == 0
    # One worker alone takes ten seconds, and all tasks at once at one worker as long.
    assert seconds < 2 * TASKS * WORK_SECONDS / WORKERS + 1


def test_members_at_their_limit_cost_no_processor_time(start_broker: Callable[..., Broker]) -> None:
    """1,000 members hold a message each. More messages wait, and a member that answers gets the next."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire, Wire(broker.port) as crowd:
        limit(wire, "tasks", 1)
        crowd.send("".join(f"SUB {MSG}tasks g {sid}\r\n" for sid in range(1000)))
        wire.send(f"PUB {MAILBOX}MSG.tasks 1\r\nx\r\n" * 1000)
        held = crowd.messages(1000)
        assert len({message.sid for message in held}) == 1000
        wire.msg("tasks", "waits")
        crowd.ping()
        before = broker.cpu_seconds
        time.sleep(1)
        assert broker.cpu_seconds - before < 0.1
        before = broker.cpu_seconds
        for _ in range(20):
            wire.send(f"PUB {MAILBOX}MSG.tasks 1\r\nx\r\n" * 500)
        wire.ping()
        assert broker.cpu_seconds - before < 0.5
        assert take_received(crowd) == []
        acknowledge(crowd, held[500])
        message = crowd.message()
        assert (message.sid, message.payload) == (held[500].sid, b"waits")
        assert crowd.silent(0.03)
