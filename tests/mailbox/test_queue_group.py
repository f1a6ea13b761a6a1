"""Queue groups of a mailbox: one member receives each message; another receives it if that member leaves."""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import MSG, Connect, acknowledge, fill_mailbox, refuse, reply, take_received, texts
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Message, Wire


def test_single_member_receives_all_messages_by_priority(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "u0", "c0", "n1", "c1")
    one = member()
    assert texts(one.messages(5)) == ["c0", "c1", "u0", "n0", "n1"]
    fill_mailbox(wire, address, "n2")
    message = one.message()
    assert (message.subject, message.reply) == (MSG + address, f"{MAILBOX}DELETE.{address}.5")
    assert one.silent(0.05)


def test_live_messages_are_spread_evenly_each_to_one_member(
    wire: Wire, address: str, member: Connect
) -> None:
    wire.create(name=address)
    members = [member() for _ in range(4)]
    wire.send("".join(f"PUB {MSG}{address} 3\r\n{n:03}\r\n" for n in range(400)))
    wire.ping()
    got = [one.messages(100) for one in members]
    assert sorted(text for messages in got for text in texts(messages)) == [f"{n:03}" for n in range(400)]
    for one, messages in zip(members, got, strict=True):
        assert texts(messages) == sorted(texts(messages))
        assert one.silent(0.02)


def test_stored_messages_are_spread_evenly_over_members(
    wire: Wire, address: str, member: Connect, broker: Broker
) -> None:
    sids = [str(n) for n in range(5)]
    wire.create(name=address)
    wire.send("".join(f"PUB {MSG}{address} 3\r\n{n:03}\r\n" for n in range(200)))
    wire.ping()
    with Wire(broker.port) as one:
        one.send("".join(f"SUB {MSG}{address} g {sid}\r\n" for sid in sids))
        messages = one.messages(200)
        assert one.silent(0.05)
    assert Counter(message.sid for message in messages) == dict.fromkeys(sids, 40)
    assert texts(messages) == [f"{n:03}" for n in range(200)]


def test_joining_member_receives_no_message_in_flight(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "n1", "n2")
    one = member()
    assert len(one.messages(3)) == 3
    others = [member() for _ in range(3)]
    for other in others:
        assert other.silent(0.03)
    fill_mailbox(wire, address, "n3", "n4", "n5", "n6")
    got = [text for each in [one, *others] for text in texts(each.messages(1))]
    assert sorted(got) == ["n3", "n4", "n5", "n6"]


@pytest.mark.parametrize("how", ["unsub", "close", "protocol error"])
def test_messages_of_a_leaving_member_go_to_another_by_priority(
    wire: Wire, address: str, member: Connect, how: str
) -> None:
    fill_mailbox(wire, address, "n0", "u0", "c0", "n1", "u1", "c1")
    leaving = member()
    assert len(leaving.messages(6)) == 6
    remaining = member()
    assert remaining.silent(0.02)
    if how == "unsub":
        leaving.send("UNSUB 1\r\n")
    elif how == "close":
        leaving.close()
    else:
        leaving.send("NONSENSE\r\n")
    assert texts(remaining.messages(6)) == ["c0", "c1", "u0", "u1", "n0", "n1"]
    assert remaining.silent(0.05)


def test_returned_messages_come_before_newer_ones_of_their_priority(
    wire: Wire,
    address: str,
    member: Connect,
) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    leaving = member(unsub_after=2)
    assert len(leaving.messages(2)) == 2
    fill_mailbox(wire, address, "n2", "c0")
    assert leaving.silent(0.02)
    leaving.close()
    remaining = member()
    got = texts(remaining.messages(4))
    assert sorted(got) == ["c0", "n0", "n1", "n2"]
    # c0 has another priority. This test does not check its position.
    assert [text for text in got if text[0] == "n"] == ["n0", "n1", "n2"]


def test_deleted_messages_of_a_leaving_member_are_not_redelivered(
    wire: Wire, address: str, member: Connect
) -> None:
    fill_mailbox(wire, address, "n0", "n1", "n2", "n3")
    leaving = member()
    messages = leaving.messages(4)
    remaining = member()
    acknowledge(leaving, messages[0])
    acknowledge(leaving, messages[2])
    leaving.send("UNSUB 1\r\n")
    assert texts(remaining.messages(2)) == ["n1", "n3"]
    assert remaining.silent(0.05)


def test_messages_of_a_killed_client_are_redelivered(
    wire: Wire, broker: Broker, address: str, member: Connect
) -> None:
    script = (
        "import sys, time; from tests.support.wire_client import Wire\n"
        "wire = Wire(int(sys.argv[1])); wire.sub(sys.argv[2], '1', 'g')\n"
        "wire.messages(5); print('got', flush=True); time.sleep(60)"
    )
    fill_mailbox(wire, address, *(f"n{n}" for n in range(5)))
    command = [sys.executable, "-c", script, str(broker.port), MSG + address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"got\n"
        remaining = member()
        assert remaining.silent(0.02)
        worker.send_signal(signal.SIGKILL)
        assert texts(remaining.messages(5)) == [f"n{n}" for n in range(5)]
        worker.wait()
    assert remaining.silent(0.05)


def test_returned_messages_are_spread_over_the_remaining_members(
    wire: Wire, address: str, member: Connect
) -> None:
    fill_mailbox(wire, address, *(f"n{n}" for n in range(9)))
    leaving = member()
    leaving.messages(9)
    remainings = [member() for _ in range(3)]
    leaving.close()
    got = [texts(remaining.messages(3)) for remaining in remainings]
    assert sorted(text for each in got for text in each) == [f"n{n}" for n in range(9)]


def test_two_queue_groups_are_independent(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    a, b = member("a"), member("b")
    assert texts(a.messages(2)) == texts(b.messages(2)) == ["n0", "n1"]
    a2 = member("a")
    a.close()
    assert texts(a2.messages(2)) == ["n0", "n1"]
    assert b.silent(0.03)
    wire.subscribe(address)
    assert len(wire.messages(2)) == 2


def test_message_deleted_in_one_group_is_not_redelivered_in_another(
    wire: Wire, address: str, member: Connect
) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    a, b = member("a"), member("b")
    first, _ = a.messages(2)
    b.messages(2)
    acknowledge(a, first)
    wait_until(lambda: wire.list(address)["total"] == 1)
    b2 = member("b")
    b.close()
    assert texts(b2.messages(1)) == ["n1"]
    assert b2.silent(0.03)


def test_group_starts_over_after_its_last_member_left(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "c0", "n1")
    for _ in range(3):
        one = member()
        messages = one.messages(3)
        assert texts(messages) == ["c0", "n0", "n1"]
        one.send("UNSUB 1\r\n")
    one = member()
    acknowledge(one, one.messages(3)[0])
    wait_until(lambda: wire.list(address)["total"] == 2)
    one.close()
    assert texts(member().messages(2)) == ["n0", "n1"]


def test_member_at_its_max_receives_no_more_and_keeps_its_messages(
    wire: Wire, address: str, member: Connect
) -> None:
    fill_mailbox(wire, address, *(f"n{n}" for n in range(6)))
    one = member(unsub_after=2)
    assert texts(one.messages(2)) == ["n0", "n1"]
    other = member()
    assert texts(other.messages(4)) == ["n2", "n3", "n4", "n5"]
    assert other.silent(0.03)
    fill_mailbox(wire, address, "n6")
    assert texts(other.messages(1)) == ["n6"]
    assert one.silent(0.03)
    one.close()
    assert texts(other.messages(2)) == ["n0", "n1"]


def test_member_at_its_max_can_still_reply(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "n1", "n2")
    one = member(unsub_after=3)
    first, second, third = one.messages(3)
    other = member()
    reply(one, first, "+WPI")
    assert other.silent(0.03)
    refuse(one, first)
    assert texts(other.messages(1)) == ["n0"]
    acknowledge(one, second)
    wait_until(lambda: wire.list(address)["total"] == 2)
    assert other.silent(0.03)
    refuse(one, third)
    assert texts(other.messages(1)) == ["n2"]
    one.close()
    assert other.silent(0.03)


def test_member_at_its_max_gives_back_what_it_holds_with_unsub(
    wire: Wire, address: str, member: Connect
) -> None:
    """At once, and not as failed deliveries. Other subscriptions that reached their maximum keep theirs."""
    fill_mailbox(wire, address, "n0", "n1", "n2")
    one = member(unsub_after=2)
    assert texts(one.messages(2)) == ["n0", "n1"]
    one.send(f"SUB {MSG}{address} g 7\r\nUNSUB 7 1\r\n")
    assert texts(one.messages(1)) == ["n2"]
    other = member()
    one.send("UNSUB 1 5\r\nUNSUB 8\r\n")
    assert other.silent(0.05)
    one.send("UNSUB 1\r\n")
    messages = other.messages(2)
    assert texts(messages) == ["n0", "n1"]
    assert not any(message.header for message in messages)
    assert other.silent(0.03)
    one.send("UNSUB 7\r\nUNSUB 7\r\n")
    assert texts(other.messages(1)) == ["n2"]


def test_maximum_and_unsub_in_one_read(wire: Wire, address: str, broker: Broker) -> None:
    """The maximum is reached by the UNSUB before, and the turn has not ended yet."""
    fill_mailbox(wire, address, "n0")
    with Wire(broker.port) as one, Wire(broker.port) as other:
        one.sub(MSG + address, "1", "g")
        assert texts(one.messages(1)) == ["n0"]
        other.sub(MSG + address, "1", "g")
        other.ping()
        one.send("UNSUB 1 1\r\nUNSUB 1\r\n")
        assert texts(other.messages(1)) == ["n0"]


def test_fetching_one_by_one_delivers_each_message_once(wire: Wire, address: str, broker: Broker) -> None:
    """A client fetches one message at a time: SUB, UNSUB with max 1, reply."""
    fill_mailbox(wire, address, *(f"n{n}" for n in range(30)))
    with Wire(broker.port) as one:
        for n in range(30):
            one.send(f"SUB {MSG}{address} g {n}\r\nUNSUB {n} 1\r\n")
            message = one.message()
            assert texts([message]) == [f"n{n}"]
            if n % 2:
                acknowledge(one, message)
        wait_until(lambda: wire.list(address)["total"] == 15)
        one.sub(MSG + address, "all", "g")
        assert one.silent(0.05)
    with Wire(broker.port) as other:
        other.sub(MSG + address, "all", "g")
        assert texts(other.messages(15)) == [f"n{n}" for n in range(0, 30, 2)]


def test_fetching_and_refusing_again_and_again_uses_no_more_memory(
    start_broker: Callable[..., Broker], address: str
) -> None:
    """A client that receives one message, refuses it and subscribes again uses no more memory each time."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        fill_mailbox(wire, address, "n0")

        def rounds(first: int, count: int) -> None:
            for n in range(first, first + count):
                wire.send(f"SUB {MSG}{address} g {n}\r\nUNSUB {n} 1\r\n")
                refuse(wire, wire.message())

        rounds(0, 2000)
        before = broker.rss_bytes
        rounds(2000, 6000)
        # Each refusal is stored, which takes some memory until the store writes it to a table.
        assert broker.rss_bytes - before < 3 << 20


def test_members_can_subscribe_to_different_priorities(wire: Wire, address: str, member: Connect) -> None:
    critical, normal = member(tail=".critical"), member(tail=".normal")
    fill_mailbox(wire, address, "n0", "u0", "c0", "n1", "u1", "c1")
    assert texts(critical.messages(2)) == ["c0", "c1"]
    assert texts(normal.messages(2)) == ["n0", "n1"]
    both = member(tail=".*")
    assert texts(both.messages(2)) == ["u0", "u1"]
    critical.close()
    assert texts(both.messages(2)) == ["c0", "c1"]
    normal.close()
    assert texts(both.messages(2)) == ["n0", "n1"]
    assert both.silent(0.03)


def test_messages_wait_for_a_member_of_their_priority(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "u0")
    everything = member()
    assert len(everything.messages(2)) == 2
    critical = member(tail=".critical")
    everything.close()
    fill_mailbox(wire, address, "c0", "n1")
    assert texts(critical.messages(1)) == ["c0"]
    assert critical.silent(0.03)
    assert texts(member().messages(3)) == ["u0", "n0", "n1"]


def test_slow_member_gets_fewer_messages_than_a_fast_one(
    wire: Wire, broker: Broker, address: str, member: Connect
) -> None:
    wire.create(name=address)
    with Wire(broker.port, receive_bytes=4096) as slow:
        slow.sub(MSG + address, "1", "g")
        slow.ping()
        quick = member()
        for n in range(300):
            wire.pub(MSG + address, f"{n:03}" + "x" * 30000)
        wire.ping()
        # The fast member receives the last message, because the slow member's socket is full by then.
        got = [quick.message()]
        while got[-1].msg_id < 299:
            got.append(quick.message())
        assert len(got) > 200
        rest = slow.messages(300 - len(got))
        assert sorted(m.msg_id for m in [*got, *rest]) == list(range(300))


def test_slow_member_delays_only_its_own_priority(
    wire: Wire,
    broker: Broker,
    address: str,
    member: Connect,
) -> None:
    wire.create(name=address)
    with Wire(broker.port, receive_bytes=4096) as slow:
        slow.sub(MSG + address + ".critical", "1", "g")
        slow.ping()
        normal = member(tail=".normal")
        for _ in range(400):
            wire.pub(MSG + address + ".critical", "c" * 30000)
        wire.msg(address, "n0")
        assert texts(normal.messages(1)) == ["n0"]
        for n in range(1, 20):
            wire.msg(address, f"n{n}")
            assert texts(normal.messages(1)) == [f"n{n}"]
        assert len(slow.messages(400)) == 400
        assert slow.silent(0.05)


def test_group_starts_over_when_its_mailbox_is_created_again(
    wire: Wire, address: str, member: Connect
) -> None:
    wire.create(name=address, ttl=1)
    one, other, at_max = member(), member(), member(unsub_after=1)
    for n in range(3):
        wire.msg(address, f"old{n}")
    for each in (one, other, at_max):
        each.message()
    wait_until(lambda: "code" in wire.list(address))
    fill_mailbox(wire, address, "n0", "n1")
    got = texts([one.message(), other.message()])
    assert sorted(got) == ["n0", "n1"]
    one.close()
    assert len(other.messages(1)) == 1
    at_max.close()
    assert other.silent(0.05)


def test_members_can_subscribe_before_the_mailbox_exists(wire: Wire, address: str, member: Connect) -> None:
    members = [member() for _ in range(2)]
    fill_mailbox(wire, address, "n0", "n1", "n2", "n3")
    got = [text for each in members for text in texts(each.messages(2))]
    assert sorted(got) == ["n0", "n1", "n2", "n3"]


def test_restart_redelivers_messages_in_flight(broker: Broker, address: str) -> None:
    with Wire(broker.port) as wire:
        fill_mailbox(wire, address, "n0", "u0", "c0")
        wire.sub(MSG + address, "1", "g")
        acknowledge(wire, wire.messages(3)[1])
        wait_until(lambda: wire.list(address)["total"] == 2)
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        wire.sub(MSG + address, "1", "g")
        assert texts(wire.messages(2)) == ["c0", "n0"]
        assert wire.silent(0.03)


def test_each_message_is_deleted_once_while_members_join_and_leave(
    wire: Wire, broker: Broker, address: str
) -> None:
    """Members join, refuse, delete and leave while messages arrive. Each message is deleted exactly once."""
    wire.create(name=address)
    total, sent, deleted = 600, 0, Counter[int]()
    members: list[Wire] = []
    step = 0
    deadline = time.monotonic() + WAIT_SECONDS
    while sum(deleted.values()) < total:
        step += 1
        assert time.monotonic() < deadline
        if sent < total:
            count = min(20, total - sent)
            suffix = ("", ".urgent", ".critical")[step % 3]
            wire.send("".join(f"PUB {MSG}{address}{suffix} 1\r\nx\r\n" for _ in range(count)))
            sent += count
        if len(members) < 4:
            new = Wire(broker.port)
            new.sub(MSG + address, "1", "g")
            members.append(new)
        in_flight: list[tuple[Wire, Message]] = [(one, m) for one in members for m in take_received(one)]
        assert len({m.msg_id for _, m in in_flight}) == len(in_flight)
        for i, (one, message) in enumerate(in_flight):
            if (i + step) % 7 == 0:
                refuse(one, message)
            elif one is members[0] and step % 3 == 0:
                continue  # in flight when its member leaves
            else:
                acknowledge(one, message)
                deleted[message.msg_id] += 1
        for one in members:
            one.ping()
        if step % 3 == 0:
            members.pop(0).close()
    wait_until(lambda: wire.list(address)["total"] == 0)
    assert deleted == dict.fromkeys(range(total), 1)
    for one in members:
        one.close()
