"""Delayed messages: answered at once, delivered once they are due, under the msg_id of the reply."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mq9fast.errors import REASONS
from tests.support.broker import Broker
from tests.support.data_directory import rows_of
from tests.support.mailbox import acknowledge
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Message, Wire

StartBroker = Callable[..., Broker]


def block(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("NATS/1.0", *lines, "")).encode()


def delay(value: str, *more: str) -> bytes:
    return block(f"Mq9-Delay: {value}", *more)


def wall(offset: float) -> str:
    """An RFC 3339 time so many seconds from now."""
    at = time.time() + offset
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"


def listed(wire: Wire, address: str) -> list[tuple[int, str, bool]]:
    """The msg_id and payload of each message, and whether it is delayed."""
    messages = wire.list(address)["messages"]
    return [(message["msg_id"], message["payload"], "deliver_at" in message) for message in messages]


def total(wire: Wire, address: str) -> int:
    return int(wire.list(address, limit=1, priority="critical")["total"])


def name_of(message: Message) -> int:
    return int(message.reply.rpartition(".")[2])


@pytest.mark.parametrize(
    "lines",
    [
        *(["Mq9-Delay: -1"], ["Mq9-Delay: x"], ["Mq9-Delay: 3162240001"], ["Mq9-Delay: 1d"]),
        *(
            ["Mq9-Deliver-At: 5"],
            ["Mq9-Deliver-At: 2026-02-30T00:00:00Z"],
            ["Mq9-Deliver-At: 9000-01-01T00:00:00Z"],
        ),
        ["Mq9-Delay: 1", "Mq9-Deliver-At: 2026-01-31T00:00:00Z"],
    ],
)
def test_wrong_value_is_refused(wire: Wire, address: str, lines: list[str]) -> None:
    wire.create(name=address)
    refused = {"error": REASONS["bad_request: times"], "code": "bad_request"}
    assert wire.msg(address, "x", block(*lines)) == refused
    assert wire.list(address)["total"] == 0


@pytest.mark.parametrize(
    "line", ["Mq9-Delay: 0", "mq9-DELAY: 0s", "Mq9-Deliver-At: 2020-01-31T12:00:00+01:00"]
)
def test_time_that_has_passed_means_now(wire: Wire, address: str, line: str) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    assert wire.msg(address, "x", block(line)) == {"msg_id": 0}
    assert wire.message().payload == b"x"


@pytest.mark.parametrize("form", ["delay", "time"])
def test_delayed_message_comes_once_to_each_reader(
    wire: Wire, broker: Broker, address: str, form: str
) -> None:
    """A live plain reader, a group, and a reader that comes later."""
    wire.create(name=address)
    with Wire(broker.port) as live, Wire(broker.port) as member, Wire(broker.port) as late:
        live.subscribe(address)
        member.subscribe(address, queue="g")
        live.ping()
        member.ping()
        began, now = time.monotonic(), time.time()
        header = delay("1500ms") if form == "delay" else block(f"Mq9-Deliver-At: {wall(1.5)}")
        reply = wire.msg(f"{address}.urgent", "x", header)
        assert reply["msg_id"] == 0
        assert now <= reply["deliver_at"] <= time.time() + 2
        assert listed(wire, address) == [(0, "x", True)]
        assert wire.list(address)["mailbox"]["delayed"] == 1
        assert wire.msg(address, "y") == {"msg_id": 1}
        assert live.message().payload == b"y"
        acknowledge(member, member.message())
        message = live.message()
        assert time.monotonic() - began >= 1.4
        assert message.subject == f"{MAILBOX}MSG.{address}.urgent"
        assert (message.payload, message.header, name_of(message)) == (b"x", header, 0)
        held = member.message()
        assert name_of(held) == 0
        late.subscribe(address)
        assert name_of(late.message()) == 0
        assert listed(wire, address) == [(0, "x", False)]
        assert "delayed" not in wire.list(address)["mailbox"]
        assert member.request(held.reply).json == {"deleted": True}
        assert [each.silent() for each in (live, member, late)] == [True] * 3
        assert wire.list(address)["total"] == 0
        assert wire.delete(address, 0) == {"deleted": False}


def test_due_message_is_behind_all_of_its_priority(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address)
    for text in ("first", "second", "third"):
        wire.msg(address, text, delay("500ms"))
    wire.msg(address, "before")
    assert listed(wire, address)[0] == (3, "before", False)
    wait_until(lambda: "delayed" not in wire.list(address)["mailbox"])
    next_id = wire.msg(address, "after")["msg_id"]
    assert next_id > 4
    expected = [(3, "before"), (0, "first"), (1, "second"), (2, "third"), (next_id, "after")]
    assert [entry[:2] for entry in listed(wire, address)] == expected
    with Wire(broker.port) as reader:
        reader.subscribe(address)
        assert [(name_of(m), m.payload.decode()) for m in reader.messages(5)] == expected
    assert [m["msg_id"] for m in wire.list(address, order="newest")["messages"]] == [next_id, 2, 1, 0, 3]
    for msg_id, text in expected:
        assert [m["payload"] for m in wire.list(address, msg_id=msg_id)["messages"]] == [text]
    for msg_id, _ in expected:
        assert wire.delete(address, msg_id) == {"deleted": True}
    assert total(wire, address) == 0


def test_messages_that_are_due_together_come_by_priority(wire: Wire, broker: Broker, address: str) -> None:
    """Also to readers that are live, and although the urgent ones were sent last."""
    wire.create(name=address)
    with Wire(broker.port) as live, Wire(broker.port) as member:
        live.subscribe(address)
        member.subscribe(address, queue="g")
        live.ping()
        member.ping()
        # In one write, so that all of them are due at the same time.
        header = delay("1500ms")
        sizes = f"{len(header)} {len(header) + 2}"
        wire.send(
            b"".join(
                f"HPUB {MAILBOX}MSG.{address}{suffix} {sizes}\r\n".encode()
                + header
                + f"{rank}{n}\r\n".encode()
                for rank, suffix in (("n", ""), ("u", ".urgent"), ("c", ".critical"))
                for n in range(5)
            )
        )
        expected = [f"{rank}{n}".encode() for rank in "cun" for n in range(5)]
        for reader in (live, member):
            assert [message.payload for message in reader.messages(15)] == expected


def test_delete_cancels(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    for _ in range(3):
        wire.msg(f"{address}.critical", "x", delay("1"))
    # Pipelined, the second one twice.
    wire.sub("answers", "9")
    for msg_id in (1, 2, 2):
        wire.pub(f"{MAILBOX}DELETE.{address}.{msg_id}", reply="answers")
    assert [m.json["deleted"] for m in wire.messages(3)] == [True, True, False]
    assert listed(wire, address) == [(0, "x", True)]
    assert wire.list(address)["mailbox"]["bytes"] == len(delay("1")) + 1
    assert name_of(wire.message()) == 0
    assert wire.silent(1.0)


def test_delayed_messages_count_in_limits(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=2)
    wire.msg(address, "x", delay("1h"))
    wire.msg(address, "x")
    assert total(wire, address) == 2
    assert wire.msg(address, "x")["code"] == "limit_exceeded"
    assert wire.msg(address, "x", delay("1"))["code"] == "limit_exceeded"
    assert wire.delete(address, 0) == {"deleted": True}
    assert wire.msg(address, "x") == {"msg_id": 2}


def test_delayed_messages_are_listed_behind_all_others(wire: Wire, address: str) -> None:
    """By pages, in both orders, and alone."""
    wire.create(name=address)
    for n in range(4):
        wire.msg(f"{address}.critical", f"c{n}", delay("1h"))
        wire.msg(address, f"n{n}")
        wire.msg(address, f"d{n}", delay("1h"))
    placed, delayed = [f"n{n}" for n in range(4)], [f"c{n}" for n in range(4)] + [f"d{n}" for n in range(4)]

    def pages(**fields: Any) -> list[str]:
        found, cursor = [], None
        while True:
            page = wire.list(address, limit=3, **({"cursor": cursor} if cursor else {}), **fields)
            found += [message["payload"] for message in page["messages"]]
            cursor = page.get("next")
            if cursor is None:
                return found

    assert pages() == placed + delayed
    assert pages(order="newest") == placed[::-1] + delayed
    assert pages(priority="critical") == delayed[:4]
    page = wire.list(address, msg_id=0)["messages"]
    assert [(m["payload"], m["priority"]) for m in page] == [("c0", "critical")]
    assert page[0]["deliver_at"] > time.time() + 3000
    assert wire.list(address)["total"] == 12


def test_life_begins_with_the_place(wire: Wire, address: str) -> None:
    wire.create(name=address, max_age=2)
    wire.msg(address, "x", delay("1500ms", "Nats-TTL: 1"))
    wire.msg(address, "y", delay("2500ms"))
    wire.subscribe(address)
    assert [wire.message().payload for _ in range(2)] == [b"x", b"y"]
    assert [entry[1] for entry in listed(wire, address)][-1:] == ["y"]
    wait_until(lambda: total(wire, address) == 0)
    assert listed(wire, address) == []


def test_reply_says_if_the_mailbox_expires_before(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=60)
    reply = wire.msg(address, "x", delay("120"))
    assert time.time() + 50 < reply["expires_at"] <= time.time() + 61
    assert "expires_at" not in wire.msg(address, "x", delay("30"))


def test_mailbox_that_ends_takes_its_delayed_messages_with_it(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=1)
    wire.msg(address, "x", delay("2"))
    wait_until(lambda: wire.list(address).get("code") == "mailbox_not_found")
    wire.create(name=address)
    wire.subscribe(address)
    assert wire.silent(2.0)
    assert wire.list(address)["total"] == 0


def test_many_delayed_messages_across_a_stop(start_broker: StartBroker) -> None:
    """None early, none twice, no cancelled one; names stay. tests/fault has the kill."""
    broker = start_broker()
    count, most = 5000, 4.0
    began = time.time()
    with Wire(broker.port) as wire:
        wire.create(name="box")
        frames = []
        due = {}
        for n in range(count):
            seconds = 2 + n * 7919 % count / count * (most - 2)
            header = delay(f"{seconds:.3f}")
            due[n] = seconds
            rank = ("", ".urgent", ".critical")[n % 3]
            sizes = f"{len(header)} {len(header) + len(str(n))}"
            frames.append(f"HPUB {MAILBOX}MSG.box{rank} {sizes}\r\n".encode() + header + b"%d\r\n" % n)
        wire.send(b"".join(frames))
        cancelled = set(range(0, count, 10))
        wire.send(b"".join(b"PUB %s 0\r\n\r\n" % f"{MAILBOX}DELETE.box.{n}".encode() for n in cancelled))
        wire.ping()
        assert total(wire, "box") == count - len(cancelled)
        sent = time.time()
    broker.restart()
    with Wire(broker.port) as plain, Wire(broker.port) as member:
        plain.subscribe("box")
        member.subscribe("box", queue="g")
        got: Counter[int] = Counter()
        for message in plain.messages(count - len(cancelled)):
            n = name_of(message)
            assert message.payload == b"%d" % n
            assert time.time() >= began + due[n]
            got[n] += 1
        assert time.time() - sent < most + WAIT_SECONDS
        assert got == Counter({n: 1 for n in range(count) if n not in cancelled})
        held = {name_of(message): message for message in member.messages(len(got))}
        assert held.keys() == got.keys()
        for message in held.values():
            acknowledge(member, message)
        member.ping()
        assert plain.silent()
        assert total(plain, "box") == 0
    broker.stop()
    assert rows_of(broker.data_dir, b"t") == {}
    assert rows_of(broker.data_dir, b"m") == {}
