"""MSG: ids, priorities, payloads and headers, invalid addresses, and survival of restarts."""

from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.wire_client import MAILBOX, Wire

HEADER = b"NATS/1.0\r\nA: 1\r\nB:  two \r\na: 3\r\n\r\n"


def test_ids_count_from_zero_in_each_mailbox(wire: Wire, address: str) -> None:
    other = address + "-other"
    wire.create(name=address)
    wire.create(name=other)
    assert [wire.msg(address)["msg_id"] for _ in range(3)] == [0, 1, 2]
    assert wire.msg(other) == {"msg_id": 0}
    assert wire.msg(address + ".critical") == {"msg_id": 3}
    assert wire.msg(address + ".normal") == {"msg_id": 4}


@pytest.mark.parametrize(
    ("suffix", "priority"),
    [("", "normal"), (".normal", "normal"), (".urgent", "urgent"), (".critical", "critical")],
)
def test_the_last_token_is_the_priority(wire: Wire, address: str, suffix: str, priority: str) -> None:
    wire.create(name=address)
    assert wire.msg(address + suffix, "x") == {"msg_id": 0}
    assert [m["priority"] for m in wire.list(address)["messages"]] == [priority]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", bytes(range(256)) * 3, b"\r\n", b"PUB a 1\r\nx\r\n", "żółw 🐢".encode(), b"x" * 70000],
)
def test_payload_arrives_unchanged(wire: Wire, address: str, payload: bytes) -> None:
    wire.create(name=address)
    wire.msg(address, payload)
    wire.msg(address, payload, HEADER)
    wire.subscribe(address)
    plain, headed = wire.messages(2)
    assert (plain.header, plain.payload) == (b"", payload)
    assert (headed.header, headed.payload) == (HEADER, payload)


@pytest.mark.parametrize(
    "header", [b"NATS/1.0\r\n\r\n", HEADER, b"NATS/1.0\r\n~!:\xff\x01\r\nNats-Msg-Id: 1\r\n\r\n"]
)
def test_header_arrives_unchanged(wire: Wire, address: str, header: bytes) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    assert wire.msg(address, b"body", header) == {"msg_id": 0}
    message = wire.message()
    assert (message.header, message.payload) == (header, b"body")
    assert wire.list(address)["messages"][0]["payload"] == "body"


def test_message_of_max_payload_is_stored(wire: Wire, address: str) -> None:
    most = wire.info["max_payload"]
    wire.create(name=address)
    wire.subscribe(address)
    assert wire.msg(address, b"x" * most) == {"msg_id": 0}
    assert wire.msg(address, b"y" * (most - len(HEADER)), HEADER) == {"msg_id": 1}
    whole, headed = wire.messages(2)
    assert whole.payload == b"x" * most
    assert headed.header + headed.payload == HEADER + b"y" * (most - len(HEADER))


def test_message_over_max_payload_closes_the_connection(broker: Broker, address: str) -> None:
    with Wire(broker.port) as wire:
        wire.create(name=address)
        wire.send(f"PUB {MAILBOX}MSG.{address} {wire.info['max_payload'] + 1}\r\n")
        assert wire.closed()
        assert b"-ERR 'Maximum Payload Violation'\r\n" in wire.unread
    with Wire(broker.port) as wire:
        assert wire.list(address)["total"] == 0


def test_message_without_a_reply_subject_is_stored(wire: Wire, address: str) -> None:
    wire.create(name=address)
    for n in range(5):
        wire.pub(f"{MAILBOX}MSG.{address}", str(n))
    assert [m["payload"] for m in wire.list(address)["messages"]] == ["0", "1", "2", "3", "4"]


def test_replies_arrive_in_the_order_of_the_requests(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.sub("answers", "9")
    lines = [f"PUB {MAILBOX}MSG.{address} answers 1\r\nx\r\n" for _ in range(500)]
    wire.send("".join(lines))
    assert [message.json["msg_id"] for message in wire.messages(500)] == list(range(500))


def test_missing_mailbox_gets_an_error_reply_or_drops_the_message(wire: Wire, address: str) -> None:
    wire.pub(f"{MAILBOX}MSG.{address}", "lost")
    reply = wire.msg(address)
    assert set(reply) == {"error", "code"}
    assert reply["code"] == "mailbox_not_found"
    wire.create(name=address)
    assert wire.list(address)["total"] == 0
    assert wire.msg(address) == {"msg_id": 0}


@pytest.mark.parametrize(
    "rest",
    [
        "urgent",
        "",
        ".",
        "a..b",
        "A",
        "a.*",
        "a.>",
        "*",
        ">",
        "a.urgent.urgent",
        "a.",
        ".a",
        "x" * 129,
        "é",
        "a$",
    ],
)
def test_invalid_address_is_an_error(wire: Wire, rest: str) -> None:
    assert wire.msg(rest)["code"] == "invalid_address"
    wire.pub(f"{MAILBOX}MSG.{rest}", "to nobody")
    wire.ping()


@pytest.mark.parametrize("subject", ["MSG", "MSGX.a", "msg.a", "", "X", "FETCH.a", "MSG-a"])
def test_unknown_command_is_an_error(wire: Wire, subject: str) -> None:
    assert wire.request(MAILBOX + subject).json["code"] == "unknown_command"


@pytest.mark.parametrize(
    "subject", ["$mq9.", "$mq9.AI", "$mq9.AI.MAILBOX", "$mq9.AI.AGENT.X", "$mq9.ai.mailbox.CREATE"]
)
def test_unknown_mq9_subject_is_an_error(wire: Wire, subject: str) -> None:
    assert wire.request(subject, b"{}").json["code"] == "unknown_command"


@pytest.mark.parametrize(
    "subject", ["$mq9", "$mq9x.AI.MAILBOX.CREATE", "$MQ9.AI.MAILBOX.CREATE", "x.$mq9.AI.MAILBOX.CREATE"]
)
def test_similar_subjects_are_plain(wire: Wire, subject: str) -> None:
    wire.sub(subject, "7")
    wire.pub(subject, "plain")
    message = wire.message()
    assert (message.subject, message.sid, message.payload) == (subject, "7", b"plain")


@pytest.mark.parametrize("kill", [False, True])
def test_acknowledged_messages_survive_a_restart(broker: Broker, address: str, kill: bool) -> None:
    with Wire(broker.port) as wire:
        wire.create(name=address)
        for n in range(20):
            assert (
                wire.msg(f"{address}.{('normal', 'urgent', 'critical')[n % 3]}", f"{n}", HEADER)["msg_id"]
                == n
            )
        before = wire.list(address)
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        assert wire.list(address) == before
        assert len(before["messages"]) == 20
        assert wire.msg(address) == {"msg_id": 20}


@pytest.mark.parametrize("sync", ["interval", "never"])
def test_acknowledged_messages_survive_a_kill_without_fsync(
    start_broker: Callable[..., Broker], address: str, sync: str
) -> None:
    broker = start_broker("--sync", sync)
    with Wire(broker.port) as wire:
        wire.create(name=address)
        for n in range(200):
            assert wire.msg(address, f"{n}") == {"msg_id": n}
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert [m["payload"] for m in wire.list(address)["messages"]] == [f"{n}" for n in range(200)]


def test_every_message_of_many_senders_is_stored_once(broker: Broker, wire: Wire, address: str) -> None:
    wire.create(name=address)
    senders = [Wire(broker.port) for _ in range(8)]
    for i, sender in enumerate(senders):
        sender.send("".join(f"PUB {MAILBOX}MSG.{address} 4\r\n{i}{n:03}\r\n" for n in range(250)))
    for sender in senders:
        sender.ping()
        sender.close()
    wire.subscribe(address)
    messages = wire.messages(2000)
    assert sorted(m.payload.decode() for m in messages) == [
        f"{i}{n:03}" for i in range(8) for n in range(250)
    ]
    assert [m.msg_id for m in messages] == list(range(2000))
    for i in range(8):
        own = [m.payload for m in messages if m.payload[:1] == b"%d" % i]
        assert own == sorted(own)
