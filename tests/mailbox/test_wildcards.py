"""Subscriptions to $mq9 subjects that are refused, and wildcards that do not match them."""

import asyncio
import json

import pytest
from nats.aio.msg import Msg

from tests.support.broker import Broker
from tests.support.nats_py import connect
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

REFUSED = [
    "$mq9.>",
    "$mq9.*",
    "$mq9.AI",
    "$mq9.AI.>",
    "$mq9.AI.MAILBOX",
    "$mq9.AI.MAILBOX.>",
    "$mq9.AI.MAILBOX.*",
    "$mq9.AI.MAILBOX.CREATE",
    "$mq9.AI.MAILBOX.LIST.a",
    "$mq9.AI.MAILBOX.DELETE.a.0",
    "$mq9.AI.MAILBOX.DELETE.>",
    "$mq9.AI.MAILBOX.MSG",
    "$mq9.AI.MAILBOX.MSG.>",
    "$mq9.AI.MAILBOX.MSG.*",
    "$mq9.AI.MAILBOX.MSG.*.a",
    "$mq9.AI.MAILBOX.MSG.*.*",
    "$mq9.AI.MAILBOX.MSG.*.urgent",
    "$mq9.AI.MAILBOX.MSG.a.>",
    "$mq9.AI.MAILBOX.MSG.a.*.urgent",
    "$mq9.AI.MAILBOX.MSG.a.*.*",
    "$mq9.AI.MAILBOX.MSG.a.urgent.*",
    "$mq9.AI.MAILBOX.MSG.a.urgent.urgent",
    "$mq9.AI.MAILBOX.MSG.urgent",
    "$mq9.AI.MAILBOX.MSG.A",
    "$mq9.AI.MAILBOX.MSG.a*",
    "$mq9.AI.MAILBOX.MSG." + "a" * 129,
    "$mq9.*.MAILBOX.MSG.a",
    "$mq9.AI.*.MSG.a",
    "$mq9.AI.MAILBOX.*.a",
    "$mq9.AI.MAILBOX.msg.a",
]
WILDCARDS = [
    ">",
    "*.>",
    "*.AI.>",
    "*.AI.MAILBOX.>",
    "*.*.*.*.*",
    "*.AI.MAILBOX.MSG.leak",
    "*.*.*.*.*.*",
    "*.AI.MAILBOX.CREATE",
    "*.AI.MAILBOX.DELETE.>",
]


@pytest.mark.parametrize("subject", REFUSED)
def test_refused_subscription_gets_an_error_and_the_connection_stays_open(wire: Wire, subject: str) -> None:
    wire.sub(subject, "1")
    assert wire.line() == f"-ERR 'Permissions Violation for Subscription to \"{subject}\"'"
    wire.sub(subject, "2", "workers")
    assert wire.line().startswith(f'-ERR \'Permissions Violation for Subscription to "{subject}"')
    wire.ping()
    wire.sub("plain", "1")
    wire.pub("plain", "the sid is free")
    assert wire.message().payload == b"the sid is free"


@pytest.mark.parametrize(
    "subject", ["$mq9.", "$mq9..a", "$mq9.>.a", "$mq9.AI.MAILBOX.MSG.", "$mq9.AI.MAILBOX.MSG.a..b"]
)
def test_invalid_subject_is_refused_as_invalid(wire: Wire, subject: str) -> None:
    wire.sub(subject, "1")
    assert wire.line() == "-ERR 'Invalid Subject'"
    wire.ping()


def test_refused_subscription_receives_nothing(wire: Wire, broker: Broker, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "stored")
    with Wire(broker.port) as spy:
        for n, subject in enumerate(REFUSED):
            spy.sub(subject, str(n))
            spy.line()
        wire.msg(address, "live")
        assert spy.silent(0.05)


def test_wildcards_do_not_match_mq9_subjects(broker: Broker, wire: Wire, address: str) -> None:
    with Wire(broker.port) as spy, Wire(broker.port) as reader:
        for n, pattern in enumerate(WILDCARDS):
            spy.sub(pattern, str(n))
            spy.sub(pattern, f"q{n}", "spies")
        spy.ping()
        reader.sub(f"{MAILBOX}MSG.{address}", "1")
        reader.sub(f"{MAILBOX}MSG.{address}", "2", "workers")
        reader.ping()
        body = json.dumps({"name": address})
        wire.pub(MAILBOX + "CREATE", body)
        for tail in ("", ".urgent", ".critical"):
            wire.pub(f"{MAILBOX}MSG.{address}{tail}", "secret")
        wire.pub(f"{MAILBOX}LIST.{address}")
        wire.pub(f"{MAILBOX}DELETE.{address}.7")
        wire.pub(f"{MAILBOX}MSG.nowhere", "secret")
        for subject in ("$mq9.", "$mq9.x", "$mq9.>", "$mq9..", "$mq9.AI.MAILBOX.NEW"):
            wire.pub(subject, "secret")
        wire.ping()
        messages = reader.messages(6)
        for message in messages:
            reader.pub(message.reply)
        reader.ping()
        wait_until(lambda: wire.list(address)["total"] == 0)
        spy.ping()
        assert not spy.received


def test_wildcards_do_not_receive_replies_to_mq9_subjects(broker: Broker, wire: Wire, address: str) -> None:
    wire.create(name=address)
    with Wire(broker.port) as spy:
        spy.sub(">", "1")
        spy.sub("*.*.*.*.*.*", "2")
        spy.sub(">", "3", "spies")
        spy.ping()
        for reply in (
            "$mq9.x",
            f"{MAILBOX}MSG.{address}",
            f"{MAILBOX}DELETE.{address}.0",
            "$mq9.",
            "$mq9.AI.MAILBOX.CREATE",
        ):
            wire.pub(f"{MAILBOX}MSG.{address}", "x", reply)
            wire.pub(f"{MAILBOX}MSG.nowhere", "x", reply)
            wire.pub(f"{MAILBOX}LIST.{address}", "", reply)
            wire.pub(f"{MAILBOX}DELETE.{address}.0", "", reply)
            wire.pub(f"{MAILBOX}CREATE", "{}", reply)
            wire.pub(f"{MAILBOX}NEW", "{}", reply)
        wire.list(address)
        spy.ping()
        assert not spy.received
    assert wire.list(address)["total"] == 4


def test_no_responders_is_not_sent_to_an_mq9_reply_subject(broker: Broker) -> None:
    with Wire(broker.port) as wire:
        wire.sub("*.>", "1")
        wire.pub("nobody", "x", "$mq9.AI.MAILBOX.CREATE")
        wire.ping()
        assert wire.silent(0.05)


def test_wildcards_match_plain_subjects(wire: Wire) -> None:
    wire.sub(">", "1")
    wire.sub("*.>", "2")
    wire.pub("a.b", "plain")
    assert sorted(message.sid for message in wire.messages(2)) == ["1", "2"]
    wire.pub("$mq9", "plain")
    wire.pub("$mq9x.a", "plain")
    assert sorted((m.sid, m.subject) for m in wire.messages(3)) == [
        ("1", "$mq9"),
        ("1", "$mq9x.a"),
        ("2", "$mq9x.a"),
    ]


def test_star_after_an_address_matches_only_its_priorities(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.create(name=address + ".b")
    wire.sub(f"{MAILBOX}MSG.{address}.*", "1")
    wire.msg(address + ".b", "of another mailbox")
    wire.msg(address + ".urgent", "mine")
    assert wire.message().payload == b"mine"
    assert wire.silent(0.05)


def test_nats_py_reports_a_refused_subscription(broker: Broker) -> None:
    errors: list[str] = []
    seen: list[Msg] = []

    async def on_error(error: Exception) -> None:
        errors.append(str(error))

    async def on_message(message: Msg) -> None:
        seen.append(message)

    async def run() -> None:
        client = await connect(broker.url, error_cb=on_error, allow_reconnect=False)
        await client.subscribe("$mq9.AI.MAILBOX.MSG.>", cb=on_message)
        await client.flush()
        await client.request(MAILBOX + "CREATE", b"{}")
        assert client.is_connected
        await client.close()

    asyncio.run(run())
    assert len(errors) == 1
    assert "permissions violation" in errors[0].lower()
    assert not seen
