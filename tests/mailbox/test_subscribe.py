"""SUB to a mailbox: first the stored messages by priority, then new ones; none lost and none twice."""

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import create_line, fill_mailbox
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

MSG = MAILBOX + "MSG."
DELETE = MAILBOX + "DELETE."
HEADER = b"NATS/1.0\r\nTrace-Id: 7\r\n\r\n"
SUFFIXES = ("", ".urgent", ".critical")


def payloads(wire: Wire, count: int) -> list[str]:
    return [message.payload.decode() for message in wire.messages(count)]


def test_stored_messages_arrive_by_priority_and_age(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "u0", "c0", "n1", "c1", "u1", "n2")
    wire.subscribe(address)
    assert payloads(wire, 7) == ["c0", "c1", "u0", "u1", "n0", "n1", "n2"]
    assert wire.silent(0.05)


def test_new_messages_arrive_after_the_stored_ones(wire: Wire, broker: Broker, address: str) -> None:
    fill_mailbox(wire, address, "n0")
    wire.subscribe(address)
    assert payloads(wire, 1) == ["n0"]
    with Wire(broker.port) as sender:
        for n in range(1, 50):
            sender.msg(address, f"n{n}")
            assert payloads(wire, 1) == [f"n{n}"]
    assert wire.silent(0.05)


def test_delivery_has_subject_reply_sid_header_and_payload(wire: Wire, address: str) -> None:
    wire.create(name=address)
    for live in (False, True):
        if live:
            wire.subscribe(address, "9")
            wire.messages(3)
        for suffix in SUFFIXES:
            wire.msg(address + suffix, "body", HEADER)
    for n, suffix in enumerate(SUFFIXES, 3):
        message = wire.message()
        assert message.subject == MSG + address + suffix
        assert message.reply == f"{DELETE}{address}.{n}"
        assert (message.sid, message.header, message.payload) == ("9", HEADER, b"body")


def test_stored_and_live_deliveries_are_identical(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.subscribe(address, "1")
    for suffix in SUFFIXES:
        wire.msg(address + suffix, "body", HEADER)
        wire.msg(address + suffix, "bare")
    live = {message.msg_id: message for message in wire.messages(6)}
    wire.subscribe(address, "2")
    replayed = {message.msg_id: message._replace(sid="1") for message in wire.messages(6)}
    assert live == replayed


def test_message_sent_as_normal_is_delivered_without_a_priority_token(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    wire.msg(address + ".normal")
    assert wire.message().subject == MSG + address


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("", ["c0", "c1", "u0", "u1", "n0", "n1"]),
        (".*", ["c0", "c1", "u0", "u1", "n0", "n1"]),
        (".critical", ["c0", "c1"]),
        (".urgent", ["u0", "u1"]),
        (".normal", ["n0", "n1"]),
    ],
)
def test_subscription_receives_only_the_priorities_it_names(
    wire: Wire, address: str, tail: str, expected: list[str]
) -> None:
    sends = ["n0", "u0", "c0", "n1", "u1", "c1"]
    fill_mailbox(wire, address, *sends)
    wire.sub(MSG + address + tail, "1")
    assert payloads(wire, len(expected)) == expected
    fill_mailbox(wire, address, *sends)
    assert sorted(payloads(wire, len(expected))) == sorted(expected)
    assert wire.silent(0.05)


def test_every_subscription_receives_every_message(broker: Broker, wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0")
    readers = [Wire(broker.port) for _ in range(5)]
    for reader in readers:
        reader.subscribe(address, "1")
        reader.subscribe(address, "2")
        reader.ping()
    wire.msg(address, "n1")
    for reader in readers:
        got = [(message.sid, message.payload) for message in reader.messages(4)]
        assert sorted(got) == [("1", b"n0"), ("1", b"n1"), ("2", b"n0"), ("2", b"n1")]
        assert reader.silent(0.02)
        reader.close()


def test_delivery_does_not_delete(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "n1", "c0")
    for sid in ("1", "2"):
        wire.subscribe(address, sid)
        assert payloads(wire, 3) == ["c0", "n0", "n1"]
        wire.send(f"UNSUB {sid}\r\n")
    assert wire.list(address)["total"] == 3


def test_new_subscription_replays_the_messages_that_are_left(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "n1", "c0", "u0", "n2")
    wire.subscribe(address, "1")
    wire.messages(5)
    wire.send("UNSUB 1\r\n")
    for msg_id in (0, 2):
        assert wire.delete(address, msg_id) == {"deleted": True}
    wire.subscribe(address, "1")
    assert payloads(wire, 3) == ["u0", "n1", "n2"]
    assert wire.silent(0.05)


def test_deleted_message_is_not_delivered(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "n1", "n2")
    wire.send(f"PUB {DELETE}{address}.1 0\r\n\r\nSUB {MSG}{address} 1\r\n")
    assert payloads(wire, 2) == ["n0", "n2"]
    wire.ping()
    assert wire.silent(0.05)


def test_echo_false_does_not_apply_to_mailboxes(broker: Broker, address: str) -> None:
    with Wire(broker.port, {"echo": False}) as wire:
        wire.sub("answers", "8")
        wire.sub("plain", "9")
        wire.pub("plain", "not to me")
        wire.create(name=address)
        wire.subscribe(address)
        wire.msg(address, "to me")
        message = wire.message()
        assert (message.sid, message.payload) == ("1", b"to me")
        assert wire.silent(0.05)


def test_client_without_headers_receives_the_payload_only(broker: Broker, wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "stored", HEADER)
    with Wire(broker.port, {"headers": False, "no_responders": False}) as reader:
        reader.subscribe(address)
        assert reader.message()[3:] == (b"", b"stored")
        wire.msg(address, "live", HEADER)
        assert reader.message()[3:] == (b"", b"live")


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("most", [1, 3, 7])
def test_unsub_with_max_delivers_exactly_max_messages(
    wire: Wire, address: str, most: int, batch: bool
) -> None:
    fill_mailbox(wire, address, "n0", "n1", "n2")
    wire.send(f"SUB {MSG}{address} 1\r\nUNSUB 1 {most}\r\n")
    lines = [f"PUB {MSG}{address} 2\r\nn{n}\r\n" for n in range(3, 9)]
    for part in ["".join(lines)] if batch else lines:
        wire.send(part)
        wire.ping()
    assert payloads(wire, most) == [f"n{n}" for n in range(most)]
    assert wire.silent(0.05)
    wire.subscribe(address, "1")
    assert len(payloads(wire, 9)) == 9


def test_unsub_with_a_max_already_reached_ends_the_subscription(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    wire.subscribe(address)
    wire.messages(2)
    wire.send("UNSUB 1 2\r\n")
    wire.msg(address, "n2")
    assert wire.silent(0.05)


def test_unsub_ends_a_replay_early(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address)
    for _ in range(40):
        wire.pub(MSG + address, "x" * 50000)
    wire.ping()
    with Wire(broker.port, receive_bytes=4096) as reader:
        reader.subscribe(address)
        reader.send("UNSUB 1\r\nPING\r\n")
        count = 0
        while not reader.unread.startswith(b"PONG"):
            if reader.unread.startswith(b"MSG"):
                reader.read_message(WAIT_SECONDS)
                count += 1
            else:
                reader.receive(WAIT_SECONDS)
        assert count < 40


def test_sid_can_be_used_again_after_unsub(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0")
    wire.create(name=address + "b")
    wire.msg(address + "b", "other")
    wire.send(f"SUB {MSG}{address} 1\r\nUNSUB 1\r\nSUB {MSG}{address}b 1\r\n")
    assert payloads(wire, 1) == ["other"]
    wire.msg(address, "n1")
    assert wire.silent(0.05)


def test_second_sub_with_a_used_sid_is_ignored(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0")
    wire.create(name=address + "b")
    wire.subscribe(address, "1")
    wire.subscribe(address + "b", "1")
    wire.msg(address + "b", "other")
    assert payloads(wire, 1) == ["n0"]
    assert wire.silent(0.05)


def test_subscription_can_precede_its_mailbox(wire: Wire, address: str) -> None:
    wire.subscribe(address)
    assert wire.msg(address)["code"] == "mailbox_not_found"
    fill_mailbox(wire, address, "n0", "c0")
    assert payloads(wire, 2) == ["n0", "c0"]
    assert wire.silent(0.05)


def test_create_and_messages_in_one_packet_reach_an_earlier_subscriber(
    broker: Broker, wire: Wire, address: str
) -> None:
    wire.subscribe(address)
    wire.ping()
    with Wire(broker.port) as other:
        other.send(
            create_line(name=address)
            + f"PUB {MSG}{address} 2\r\nn0\r\nPUB {MSG}{address}.critical 2\r\nc0\r\n"
        )
        assert sorted(payloads(wire, 2)) == ["c0", "n0"]
    assert wire.silent(0.05)


def test_subscription_starts_over_when_its_mailbox_is_created_again(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=1)
    wire.subscribe(address, "all")
    wire.sub(MSG + address + ".urgent", "urgent")
    wire.msg(address + ".urgent", "old")
    assert sorted(m.sid for m in wire.messages(2)) == ["all", "urgent"]
    wait_until(lambda: "code" in wire.list(address))
    assert wire.create(name=address)["is_new"]
    for n, suffix in enumerate(SUFFIXES):
        assert wire.msg(address + suffix, f"new{n}") == {"msg_id": n}
    got = [(m.sid, m.payload, m.msg_id) for m in wire.messages(4)]
    assert [g for g in got if g[0] == "urgent"] == [("urgent", b"new1", 1)]
    assert [g[1:] for g in got if g[0] == "all"] == [(b"new0", 0), (b"new1", 1), (b"new2", 2)]
    assert wire.silent(0.05)


def test_subscription_survives_the_end_of_another_connection(
    broker: Broker, wire: Wire, address: str
) -> None:
    wire.subscribe(address)
    with Wire(broker.port) as other:
        other.subscribe(address)
        other.ping()
    fill_mailbox(wire, address, "n0")
    assert payloads(wire, 1) == ["n0"]


def test_subscribing_during_traffic_loses_and_repeats_nothing(
    broker: Broker, wire: Wire, address: str
) -> None:
    """Clients subscribe while messages are added to commit groups, written and fsynced."""
    wire.create(name=address)
    for n in range(60):
        lines = [f"PUB {MSG}{address}{SUFFIXES[i % 3]} 4\r\n{i:04}\r\n" for i in range(n * 6, n * 6 + 6)]
        wire.send("".join([*lines[:3], f"SUB {MSG}{address} s{n}\r\n", *lines[3:]]))
        if n % 3 == 0:
            wire.ping()
    wire.ping()
    seen: dict[str, list[int]] = {f"s{n}": [] for n in range(60)}
    for message in wire.messages(60 * 360):
        assert int(message.payload) == message.msg_id
        seen[message.sid].append(message.msg_id)
    assert wire.silent(0.05)
    for ids in seen.values():
        assert sorted(ids) == list(range(360))


def test_messages_of_each_priority_arrive_in_order(broker: Broker, wire: Wire, address: str) -> None:
    wire.create(name=address)
    with Wire(broker.port) as reader:
        reader.subscribe(address)
        wire.send("".join(f"PUB {MSG}{address}{SUFFIXES[n % 3]} 4\r\n{n:04}\r\n" for n in range(3000)))
        messages = reader.messages(3000)
    for suffix in SUFFIXES:
        ids = [m.msg_id for m in messages if m.subject == MSG + address + suffix]
        assert ids == sorted(ids)
        assert len(ids) == 1000


def test_critical_message_overtakes_a_replay_of_normal_ones(broker: Broker, wire: Wire, address: str) -> None:
    """A slow subscriber receives a new critical message before most of the stored normal ones."""
    wire.create(name=address)
    for _ in range(200):
        wire.pub(MSG + address, "n" * 50000)
    wire.ping()
    with Wire(broker.port, receive_bytes=4096) as reader:
        reader.subscribe(address)
        reader.message()
        assert wire.msg(address + ".critical", "now") == {"msg_id": 200}
        messages = reader.messages(200)
    ids = [message.msg_id for message in messages]
    assert sorted(ids) == list(range(1, 201))
    assert ids.index(200) < 150
    ids.remove(200)
    assert ids == sorted(ids)


def test_slow_subscriber_is_not_closed_and_loses_nothing(
    start_broker: Callable[..., Broker], address: str
) -> None:
    broker = start_broker("--max-pending", "100000", "--sync", "never")
    with Wire(broker.port) as wire, Wire(broker.port, receive_bytes=4096) as slow:
        wire.create(name=address)
        slow.subscribe(address)
        slow.ping()
        before = broker.rss_bytes
        for n in range(600):
            wire.pub(MSG + address + (".urgent" if n % 100 == 99 else ""), f"{n:05}" + "x" * 50000)
        wire.ping()
        grown = broker.rss_bytes - before
        messages = slow.messages(600)
        assert sorted(m.msg_id for m in messages) == list(range(600))
        for urgent in (True, False):
            ids = [m.msg_id for m in messages if m.subject.endswith(".urgent") is urgent]
            assert ids == sorted(ids)
        assert wire.list(address, limit=1)["total"] == 600
    assert grown < 200 << 20  # memtables and block cache, but not all that the subscriber has not read


def test_slow_subscriber_does_not_receive_messages_deleted_meanwhile(
    broker: Broker, wire: Wire, address: str
) -> None:
    wire.create(name=address)
    with Wire(broker.port, receive_bytes=4096) as slow:
        slow.subscribe(address)
        slow.ping()
        for _ in range(200):
            wire.pub(MSG + address, "x" * 50000)
        wire.ping()
        for n in range(150, 200):
            assert wire.delete(address, n) == {"deleted": True}
        wire.msg(address, "end")
        messages = []
        while not messages or messages[-1].payload != b"end":
            messages.append(slow.message())
        assert [m.msg_id for m in messages] == [*range(150), 200]


def test_slow_subscriber_starts_over_after_its_mailbox_expired(
    broker: Broker, wire: Wire, address: str
) -> None:
    wire.create(name=address, ttl=1)
    with Wire(broker.port, receive_bytes=4096) as slow:
        slow.subscribe(address)
        slow.ping()
        for _ in range(100):
            wire.pub(MSG + address, "x" * 50000)
        wire.ping()
        wait_until(lambda: "code" in wire.list(address, limit=1))
        wire.create(name=address)
        wire.msg(address, "new life")
        messages = []
        while not messages or messages[-1].payload != b"new life":
            messages.append(slow.message())
        ids = [m.msg_id for m in messages[:-1]]
        assert ids == list(range(len(ids)))
        assert messages[-1].msg_id == 0
        assert slow.silent(0.05)


def test_subscriptions_that_end_by_max_use_no_memory(
    start_broker: Callable[..., Broker], address: str
) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        fill_mailbox(wire, address, "n0", "n1")

        def rounds(first: int, count: int) -> None:
            for start in range(first, first + count, 500):
                lines = [
                    f"SUB {MSG}{address} {sid}\r\nUNSUB {sid} 1\r\n" for sid in range(start, start + 500)
                ]
                wire.send("".join(lines))
                assert {m.payload for m in wire.messages(500)} == {b"n0"}

        rounds(0, 5000)
        before = broker.rss_bytes
        rounds(5000, 20000)
        assert broker.rss_bytes - before < 3 << 20


def test_nats_py_reads_its_mailbox(broker: Broker, address: str) -> None:
    async def run() -> None:
        client = await connect(broker.url)
        request = json.dumps({"name": address}).encode()
        assert json.loads((await client.request(MAILBOX + "CREATE", request)).data)["is_new"]
        for suffix in SUFFIXES:
            await client.request(MSG + address + suffix, suffix.encode(), headers={"K": "v"})
        subscription = await client.subscribe(MSG + address)
        for n, suffix in ((2, ".critical"), (1, ".urgent"), (0, "")):
            message = await subscription.next_msg(WAIT_SECONDS)
            assert message.subject == MSG + address + suffix
            assert message.reply == f"{DELETE}{address}.{n}"
            assert message.headers == {"K": "v"}
            assert message.data == suffix.encode()
        await client.publish(MSG + address, b"live")
        assert (await subscription.next_msg(WAIT_SECONDS)).data == b"live"
        await client.close()

    asyncio.run(run())
