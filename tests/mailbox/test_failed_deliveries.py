"""Failed deliveries: which count, that the count and the waiting time are stored, and who waits."""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from tests.support import nats_py
from tests.support.broker import Broker
from tests.support.data_directory import rows_of
from tests.support.mailbox import MSG, Connect, acknowledge, fill_mailbox, refuse, reply, texts
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Message, Wire, read_messages

Start = Callable[..., Broker]


def deliveries(message: Message) -> int:
    """The header Mq9-Deliveries; 1 without it."""
    for line in message.header.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name == b"Mq9-Deliveries":
            return int(value)
    return 1


def listed(wire: Wire, address: str) -> list[int]:
    return [message.get("deliveries", 0) for message in wire.list(address)["messages"]]


def refuse_for(member: Wire, message: Message, seconds: float) -> None:
    """Refuse a message as JetStream clients do with a delay."""
    reply(member, message, f'-NAK {{"delay": {int(seconds * 1e9)}}}')


def failure_rows(broker: Broker) -> int:
    """How many rows of failed deliveries a stopped broker has stored."""
    return sum(key[9] == 4 for key in rows_of(broker.data_dir, b"m"))


# What counts.


def test_second_delivery_says_its_number(wire: Wire, address: str, member: Connect) -> None:
    header = b"NATS/1.0\r\nA: 1\r\n\r\n"
    fill_mailbox(wire, address, "n0")
    wire.msg(address, "n1", header)
    one = member()
    for number in (1, 2, 3):
        for message in one.messages(2):
            assert deliveries(message) == number
            refuse(one, message)
    assert listed(wire, address) == [3, 3]
    first, second = one.messages(2)
    assert first.header == b"NATS/1.0\r\nMq9-Deliveries: 4\r\n\r\n"
    assert second.header == b"NATS/1.0\r\nMq9-Deliveries: 4\r\nA: 1\r\n\r\n"
    assert [each["headers"] for each in wire.list(address)["messages"]] == [{}, {"A": "1"}]


@pytest.mark.parametrize(("how", "counts"), [("close", True), ("error", True), ("unsub", False)])
def test_member_that_leaves(wire: Wire, address: str, member: Connect, how: str, counts: bool) -> None:
    """The end of the connection is a failed delivery, UNSUB is not."""
    fill_mailbox(wire, address, "n0", "u0", "c0")
    leaving, other = member(), None
    leaving.messages(3)
    other = member()
    if how == "close":
        leaving.close()
    else:
        leaving.send("UNSUB 1\r\n" if how == "unsub" else "NONSENSE\r\n")
    got = other.messages(3)
    assert texts(got) == ["c0", "u0", "n0"]
    assert [deliveries(message) for message in got] == [2 if counts else 1] * 3
    assert listed(wire, address) == [int(counts)] * 3


def test_count_belongs_to_the_message_for_all_groups(wire: Wire, address: str, member: Connect) -> None:
    """A plain subscription gets it as it was sent."""
    fill_mailbox(wire, address, "n0")
    a, b = member("a"), member("b")
    held = b.message()
    refuse(a, a.message())
    refuse(b, held)
    assert sorted(deliveries(one.message()) for one in (a, b)) in ([2, 3], [3, 3])
    assert deliveries(member("c").message()) == 3
    wire.subscribe(address)
    assert wire.message().header == b""


def test_count_outlives_the_group(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    for number in (1, 2, 3):
        one = member(unsub_after=1)
        assert deliveries(one.message()) == number
        one.close()
        wait_until(lambda: listed(wire, address) == [number, 0])  # noqa: B023
    assert [deliveries(message) for message in member().messages(2)] == [4, 1]


@pytest.mark.parametrize("kill", [False, True])
def test_count_survives_a_restart_which_itself_does_not_count(start_broker: Start, kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        fill_mailbox(wire, "tasks", "n0")
        wire.subscribe("tasks", queue="g")
        refuse(wire, wire.message())
        assert deliveries(wire.message()) == 2
        broker.restart(kill=kill)
    for _ in range(2):
        with Wire(broker.port) as wire:
            wire.subscribe("tasks", queue="g")
            assert deliveries(wire.message()) == 2
            broker.restart(kill=kill)


def test_deleted_message_leaves_no_row(start_broker: Start) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        fill_mailbox(wire, "tasks", "n0", "n1", "n2")
        wire.subscribe("tasks", queue="g")
        for message in wire.messages(3):
            refuse(wire, message)
        first, second, _ = wire.messages(3)
        acknowledge(wire, first)
        refuse(wire, second)
        assert deliveries(wire.message()) == 3
        assert wire.delete("tasks", second.msg_id) == {"deleted": True}
        assert wire.list("tasks")["total"] == 1
    broker.restart()
    with Wire(broker.port) as wire:
        # The rows are not in memory now. The end of the connection was a failed delivery.
        assert listed(wire, "tasks") == [2]
        assert wire.delete("tasks", 2) == {"deleted": True}
    broker.stop()
    assert failure_rows(broker) == 0


def test_ended_mailbox_leaves_no_row(start_broker: Start) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="tasks", ttl=1)
        wire.msg("tasks", "x")
        wire.subscribe("tasks", queue="g")
        refuse(wire, wire.message())
        assert deliveries(wire.message()) == 2
        wait_until(lambda: "code" in wire.list("tasks"))
        wire.create(name="tasks")
        wire.msg("tasks", "x")
        message = wire.message()
        assert deliveries(message) == 1
        acknowledge(wire, message)
        time.sleep(0.5)
    broker.stop()
    assert failure_rows(broker) == 0


def test_member_that_leaves_with_thousands(start_broker: Start) -> None:
    """They are stored in shares, and go to others in order. A killed broker has counted none twice."""
    count = 20_000
    broker = start_broker("--sync", "interval", "--monitor-port", "0")
    with Wire(broker.port) as wire:
        wire.create(name="tasks")
        for start in range(0, count, 1000):
            wire.send("".join(f"PUB {MAILBOX}MSG.tasks 5\r\n{n:05}\r\n" for n in range(start, start + 1000)))
        with Wire(broker.port) as leaving:
            leaving.subscribe("tasks", queue="g")
            messages = read_messages(leaving)
            for _ in range(count):
                next(messages)
        wire.subscribe("tasks", queue="g")
        got = list(islice(read_messages(wire), count))
        assert [message.payload for message in got] == [b"%05d" % n for n in range(count)]
        assert {deliveries(message) for message in got} == {2}
        assert broker.metric("mq9fast_mailbox_deliveries_failed_total") == count
        broker.kill()
    assert failure_rows(broker) == count


# Who waits, and how long.


def test_refused_message_waits_as_long_as_it_says(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    one = member()
    first, second = one.messages(2)
    began = time.monotonic()
    refuse_for(one, first, 0.7)
    assert deliveries(one.message()) == 2
    assert 0.7 <= time.monotonic() - began < 1.7
    reply(one, second, "-NAK not now")
    assert texts([one.message()]) == ["n1"]


def test_message_waits_in_all_groups_and_not_for_plain_subscriptions(
    wire: Wire, address: str, member: Connect
) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    one = member()
    first, _ = one.messages(2)
    began = time.monotonic()
    refuse_for(one, first, 1)
    one.ping()
    other = member("other")
    assert texts([other.message()]) == ["n1"]
    wire.subscribe(address)
    assert texts(wire.messages(2)) == ["n0", "n1"]
    for each in (one, other):
        assert deliveries(each.message()) == 2
        assert time.monotonic() - began >= 1


def test_waiting_message_can_be_deleted(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    refuse_for(one, message, 0.4)
    assert wire.delete(address, message.msg_id) == {"deleted": True}
    assert one.silent(1)


@pytest.mark.parametrize("kill", [False, True])
def test_waiting_time_survives_a_restart(start_broker: Start, kill: bool) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        fill_mailbox(wire, "tasks", "n0", "n1")
        wire.subscribe("tasks", queue="g")
        first, _ = wire.messages(2)
        began = time.monotonic()
        refuse_for(wire, first, 3)
        wire.ping()
        assert listed(wire, "tasks") == [1, 0]
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        wire.subscribe("tasks", queue="g")
        second, first = wire.messages(2)
        assert texts([second, first]) == ["n1", "n0"]
        assert deliveries(first) == 2
        assert time.monotonic() - began >= 2.9


def test_backoff_is_one_time_or_one_for_each_failure(wire: Wire, address: str, member: Connect) -> None:
    """A delay of a -NAK takes its place. The last time of a list repeats."""
    assert wire.create(name=address, backoff=[0, 0.5])["options"] == {"backoff": [0, 0.5]}
    fill_mailbox(wire, address, "n0")
    one = member()

    def seconds(answer: str) -> float:
        message = one.message()
        began = time.monotonic()
        reply(one, message, answer)
        one.received.append(one.message())
        return time.monotonic() - began

    assert seconds("-NAK") < 0.4
    assert 0.5 <= seconds("-NAK") < 1.4
    assert 0.5 <= seconds("-NAK") < 1.4
    assert seconds('-NAK {"delay": 0}') < 0.4
    assert wire.create(name=address, backoff=0.3)["options"] == {"backoff": 0.3}
    assert 0.3 <= seconds("-NAK") < 1.2
    assert wire.create(name=address, backoff=0)["options"] == {}
    assert seconds("-NAK") < 0.3


@pytest.mark.parametrize("backoff", [-1, "1", [-1], ["x"], [1] * 65, True, {}, 4e9, [[1]]])
def test_wrong_backoff_is_refused(wire: Wire, address: str, backoff: Any) -> None:
    assert wire.create(name=address, backoff=backoff)["code"] == "bad_request"


def test_backoff_is_stored(start_broker: Start) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name="tasks", backoff=[1.5, 60], max_in_flight=3, max_bytes=100)
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        options = wire.list("tasks")["mailbox"]["options"]
    assert options == {"max_bytes": 100, "max_in_flight": 3, "backoff": [1.5, 60]}


def test_member_is_given_others_while_one_waits(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address, max_in_flight=1, backoff=0.8)
    fill_mailbox(wire, address, "n0", "n1", "n2")
    one = member()
    refuse(one, one.message())
    for text in ("n1", "n2"):
        message = one.message()
        assert texts([message]) == [text]
        acknowledge(one, message)
    assert deliveries(one.message()) == 2


def test_nak_of_nats_py_waits(broker: Broker, address: str) -> None:
    async def run() -> float:
        client = await nats_py.connect(broker.url)
        received: asyncio.Queue[Any] = asyncio.Queue()
        await client.request(MAILBOX + "CREATE", b'{"name": "%b"}' % address.encode())
        await client.subscribe(MSG + address, "g", cb=received.put)
        await client.request(MSG + address, b"task")
        message = await received.get()
        began = time.monotonic()
        await message.nak(delay=2)
        again = await received.get()
        assert again.headers == {"Mq9-Deliveries": "2"}
        await client.close()
        return time.monotonic() - began

    assert 2 <= asyncio.run(run()) < 3


def test_crowd_of_waiting_messages_costs_nothing_until_they_are_due(start_broker: Start) -> None:
    count = 5000
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="tasks", backoff=3)
        wire.send(f"PUB {MAILBOX}MSG.tasks 1\r\nx\r\n" * count)
        wire.subscribe("tasks", queue="g")
        messages = read_messages(wire)
        began = time.monotonic()
        wire.send("".join(f"PUB {next(messages).reply} 4\r\n-NAK\r\n" for _ in range(count)))
        wire.ping()
        before = broker.cpu_seconds
        time.sleep(0.7)
        assert broker.cpu_seconds - before < 0.1
        got = {next(messages).msg_id for _ in range(count)}
        assert got == set(range(count))
        assert 3 <= time.monotonic() - began < 5
