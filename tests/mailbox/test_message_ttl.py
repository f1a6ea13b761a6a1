"""Nats-TTL: the life of one message, alone and together with max_age."""

import time
from collections.abc import Callable

import pytest

from mq9fast.errors import REASONS
from tests.support.broker import Broker
from tests.support.data_directory import rows_of
from tests.support.mailbox import exists
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.wire_client import MAILBOX, Wire

StartBroker = Callable[..., Broker]


def ttl(value: str) -> bytes:
    return f"NATS/1.0\r\nNats-TTL: {value}\r\n\r\n".encode()


def frame(address: str, value: str, payload: bytes) -> bytes:
    header = ttl(value)
    sizes = f"{len(header)} {len(header) + len(payload)}"
    return f"HPUB {MAILBOX}MSG.{address} {sizes}\r\n".encode() + header + payload + b"\r\n"


def payloads(wire: Wire, address: str) -> list[str]:
    return [message["payload"] for message in wire.list(address)["messages"]]


def total(wire: Wire, address: str) -> int:
    """The count of the mailbox, which is not that of the page."""
    return int(wire.list(address, limit=1, priority="critical")["total"])


@pytest.mark.parametrize(
    "value",
    ["0", "-1", "1.5", "0.5", "1e3", "999ms", "0s", "Never", "1d", "1 s", "x", "3162240001", "878401h"],
)
def test_wrong_value_is_refused(wire: Wire, address: str, value: str) -> None:
    wire.create(name=address)
    refused = {"error": REASONS["bad_request: times"], "code": "bad_request"}
    assert wire.msg(address, "x", ttl(value)) == refused
    assert wire.list(address)["total"] == 0


@pytest.mark.parametrize(
    "value", ["1", "007", "3162240000", "1s", "1000ms", "1.5s", "1h30m", "878400h", "never"]
)
def test_values(wire: Wire, address: str, value: str) -> None:
    """The header is stored as it was sent."""
    wire.create(name=address)
    assert wire.msg(address, "x", ttl(value)) == {"msg_id": 0}
    assert wire.list(address)["messages"][0]["headers"] == {"Nats-TTL": value}


def test_message_lives_for_its_ttl(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address, max_messages=4)
    began = time.monotonic()
    wire.msg(address, "short", ttl("1500ms"))
    wire.msg(f"{address}.urgent", "short", ttl("1500ms"))
    sent = time.monotonic()
    wire.msg(address, "long", ttl("1h"))
    wire.msg(address, "endless")
    while "short" in payloads(wire, address):
        assert time.monotonic() < sent + WAIT_SECONDS
    assert time.monotonic() - began >= 1.5
    wait_until(lambda: payloads(wire, address) == ["long", "endless"])
    with Wire(broker.port) as late:
        late.subscribe(address)
        assert [message.payload for message in late.messages(2)] == [b"long", b"endless"]
        assert late.silent()
    wait_until(lambda: total(wire, address) == 2)
    assert wire.msg(address, "again") == {"msg_id": 4}


def test_shorter_of_ttl_and_max_age_holds(wire: Wire, address: str) -> None:
    wire.create(name=address, max_age=2)
    wire.msg(address, "never", ttl("never"))
    wire.msg(address, "short", ttl("1"))
    wire.msg(address, "long", ttl("1h"))
    wire.msg(address, "max_age")
    wait_until(lambda: "short" not in payloads(wire, address))
    wait_until(lambda: payloads(wire, address) == ["never"])
    wait_until(lambda: total(wire, address) == 1)
    wire.msg(address, "next")
    wait_until(lambda: payloads(wire, address) == ["never"])
    wire.create(name=address, max_age=1000)
    wire.msg(address, "more")
    assert payloads(wire, address)[0] == "never"
    assert payloads(wire, address)[-1] == "more"


def test_life_of_a_message_that_is_deleted_before(wire: Wire, address: str) -> None:
    wire.create(name=address)
    for n in range(200):
        wire.send(frame(address, "1", b"%d" % n))
    wire.ping()
    for n in range(0, 200, 2):
        wire.pub(f"{MAILBOX}DELETE.{address}.{n}")
    wire.msg(address, "stays")
    wait_until(lambda: total(wire, address) == 1)
    assert payloads(wire, address) == ["stays"]


def test_expiry_ends_a_hold(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "x", ttl("1"))
    with Wire(broker.port) as member:
        member.subscribe(address, queue="g")
        held = member.message()
        wait_until(lambda: wire.list(address)["mailbox"]["groups"][0]["in_flight"] == 0)
        assert member.request(held.reply).json == {"deleted": False}


def test_mailbox_that_is_created_again_has_lives_of_its_own(wire: Wire, address: str) -> None:
    """What was due of the former mailbox does not touch it."""
    wire.create(name=address, ttl=1)
    wire.msg(address, "old", ttl("2"))
    wait_until(lambda: not exists(wire, address))
    assert wire.create(name=address)["is_new"]
    assert wire.msg(address, "new") == {"msg_id": 0}
    time.sleep(2)
    assert payloads(wire, address) == ["new"]


@pytest.mark.parametrize("kill", [False, True], ids=["stop", "kill"])
@pytest.mark.parametrize("down", [0.0, 2.0], ids=["running", "down"])
def test_lives_go_on_across_a_restart(start_broker: StartBroker, kill: bool, down: float) -> None:
    broker = start_broker("--monitor-port", "0")
    count = 5000
    with Wire(broker.port) as wire:
        wire.create(name="box")
        wire.send(b"".join(frame("box", "2", b"old") for _ in range(count)))
        wire.send(b"".join(frame("box.urgent", "1h", b"new") for _ in range(3)))
        wire.ping()
        wire.list("box", limit=1)
    broker.kill() if kill else broker.stop()
    time.sleep(down)
    broker.start()
    with Wire(broker.port) as wire:
        wait_until(lambda: total(wire, "box") == 3)
        assert payloads(wire, "box") == ["new"] * 3
        assert broker.metric("mq9fast_mailbox_messages_expired_total") == count
        # What is done leaves no row.
        wire.msg("box", "last")
    broker.stop()
    assert len(rows_of(broker.data_dir, b"t")) <= 3
    broker.start()
    with Wire(broker.port) as wire:
        assert payloads(wire, "box") == ["new"] * 3 + ["last"]


def test_messages_that_wait_cost_nothing(start_broker: StartBroker) -> None:
    """Neither memory nor processor time, nor time of a start."""
    broker = start_broker()
    count = 100_000
    with Wire(broker.port) as wire:
        wire.create(name="plain")
        wire.create(name="box")
        for address, header in (("plain", b""), ("box", ttl("1h"))):
            line = f"HPUB {MAILBOX}MSG.{address} {len(header)} {len(header) + 1}\r\n" if header else ""
            line = line or f"PUB {MAILBOX}MSG.{address} 1\r\n"
            for _ in range(count // 1000):
                wire.send((line.encode() + header + b"x\r\n") * 1000)
            wire.ping()
        assert wire.list("box", limit=1)["total"] == count
    broker.stop()
    broker.start()
    before = broker.cpu_seconds
    time.sleep(2)
    assert broker.cpu_seconds - before < 0.5
    broker.stop()
    # Messages share the rows.
    assert len(rows_of(broker.data_dir, b"t")) < count / 20
