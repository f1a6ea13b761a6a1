"""Receipts and events of messages that newer ones replace: by Mq9-Key, and by `discard` "old"."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, list_all, refuse
from tests.support.questions import block
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

REPLACING = [{"max_messages": 1, "discard": "old"}, {}]
BY = ["discard", "key"]


def header_of(options: dict[str, Any], **headers: str) -> bytes:
    """Headers of a message that replaces the one before."""
    if not options:
        headers["Mq9_Key"] = "a"
    return block(**headers) if headers else b""


def receipts(wire: Wire, address: str) -> list[tuple[str, int, str]]:
    """What the receipts in a mailbox are about."""
    found = []
    for message in wire.list(address)["messages"]:
        if "Mq9-Receipt" in message["headers"]:
            body = wire.list(address, msg_id=message["msg_id"])["messages"][0]["payload"]
            fields = dict(part.split(":") for part in body.strip("{}").replace('"', "").split(","))
            assert message["headers"]["Mq9-Receipt"] == fields["event"]
            found.append((fields["mail_address"], int(fields["msg_id"]), fields["event"]))
    return found


def send_at_once(wire: Wire, address: str, header: bytes, count: int) -> None:
    """Send messages in one packet, so that one commit group has them."""
    frame = b"HPUB %bMSG.%b %d %d\r\n%bx\r\n" % (
        MAILBOX.encode(),
        address.encode(),
        len(header),
        len(header) + 1,
        header,
    )
    wire.send(frame * count)
    wire.ping()


@pytest.mark.parametrize("options", REPLACING, ids=BY)
def test_receipt_of_a_replaced_message(wire: Wire, address: str, options: dict[str, Any]) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, **options)
    for on in ("replaced", "settled,replaced", "settled"):
        wire.msg(address, on, header_of(options, Mq9_Receipt_To=log, Mq9_Receipt_On=on))
    wire.msg(address, "last", header_of(options))
    assert receipts(wire, log) == [(address, 0, "replaced"), (address, 1, "replaced")]


@pytest.mark.parametrize("options", REPLACING, ids=BY)
def test_receipts_of_messages_that_were_never_stored(
    wire: Wire, address: str, options: dict[str, Any]
) -> None:
    """Of several in one commit group only the last one is stored."""
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, receipts_to=log, **options)
    send_at_once(wire, address, header_of(options, Mq9_Receipt_To=log), 20)
    wait_until(lambda: wire.list(address)["messages"][0]["msg_id"] == 19)
    assert receipts(wire, log) == [(address, n, "replaced") for n in range(19)]


@pytest.mark.parametrize("options", REPLACING, ids=BY)
def test_event_of_a_replaced_message(wire: Wire, address: str, options: dict[str, Any]) -> None:
    wire.create(name=address, **options)
    wire.subscribe(address, "m")
    wire.sub(f"{MAILBOX}EVENT.{address}", "life")
    wire.sub(f"{MAILBOX}EVENT.{address}.*", "all")
    wire.messages(2)
    for n in range(3):
        wire.msg(address, f"{n}", header_of(options))
    events = [message.json for message in wire.messages(5) if message.sid == "all"]
    assert events == [{"event": "dropped", "msg_id": n, "reason": "replaced"} for n in range(2)]
    assert wire.silent(0.1)


def test_message_that_a_member_holds_is_dropped_when_it_comes_back(
    wire: Wire, address: str, member: Connect
) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, receipts_to=log)
    header = block(Mq9_Key="a")
    wire.msg(address, "old", header)
    one = member()
    held = one.message()
    wire.msg(address, "new", header)
    assert one.message().payload == b"new"
    assert receipts(wire, log) == []
    refuse(one, held)
    wait_until(lambda: receipts(wire, log) == [(address, 0, "replaced")])


def test_log_that_drops_its_own_messages(wire: Wire, address: str) -> None:
    """Receipts make room for themselves in another mailbox, and that one's messages have receipts too."""
    status, log, last = (f"{address}.{name}" for name in ("status", "log", "last"))
    wire.create(name=last, max_messages=1, discard="old")
    wire.create(name=log, max_messages=2, discard="old")
    wire.create(name=status, max_messages=1, discard="old", receipts_to=log)
    wire.msg(last, "of another")
    wire.msg(log, "note", block(Mq9_Receipt_To=last))
    wire.msg(log, "note", block(Mq9_Receipt_To=status))
    for n in range(3):
        wire.msg(status, f"{n}")
    assert receipts(wire, log) == [(status, 0, "replaced"), (status, 1, "replaced")]
    # What was dropped for a receipt has its receipt only where there is room.
    assert [message["payload"] for message in wire.list(last)["messages"]] == ["of another"]
    assert [message["payload"] for message in wire.list(status)["messages"]] == ["2"]


def test_mailbox_keeps_its_messages_from_their_own_receipts(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=3, discard="old", receipts_to=address)
    for n in range(6):
        wire.msg(address, f"{n}", block(Mq9_Receipt_To=address))
    assert [message["payload"] for message in wire.list(address)["messages"]] == ["3", "4", "5"]


def test_msg_id_of_a_message_that_was_delayed(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, max_messages=1, discard="old", receipts_to=log)
    wire.subscribe(address, "m")
    assert wire.msg(address, "alarm", block(Mq9_Delay="1ms"))["msg_id"] == 0
    assert wire.message().payload == b"alarm"
    assert wire.msg(address, "next")["msg_id"] == 2
    assert receipts(wire, log) == [(address, 0, "replaced")]
    assert wire.delete(address, 0) == {"deleted": False}


def test_receipts_of_delayed_messages_of_an_ended_mailbox(wire: Wire, address: str) -> None:
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, ttl=1)
    for priority in ("", ".urgent", ".critical"):
        wire.msg(address + priority, "later", block(Mq9_Delay="1h", Mq9_Receipt_To=log))
        wire.msg(address + priority, "never told", block(Mq9_Delay="1h"))
    wait_until(lambda: len(receipts(wire, log)) == 3)
    assert sorted(receipts(wire, log)) == [(address, n, "expired") for n in (0, 2, 4)]


def test_lowered_limit(wire: Wire, address: str) -> None:
    """One MSG drops 1,024 messages, housekeeping the others: each has its receipt."""
    count = 1500
    log = f"{address}.log"
    wire.create(name=log)
    wire.create(name=address, receipts_to=log)
    send_at_once(wire, address, block(), count)
    wire.create(name=address, max_messages=1, discard="old")
    wire.msg(address, "last")
    wait_until(lambda: wire.list(log, limit=1)["total"] == count)
    assert wire.list(address)["total"] == 1
    assert len(set(list_all(wire, log).values())) == count


def test_receipts_are_there_after_a_kill(start_broker: Callable[..., Broker]) -> None:
    """A receipt is stored with the message that replaced the other one."""
    broker = start_broker("--sync", "never")
    with Wire(broker.port) as wire:
        wire.create(name="log")
        wire.create(name="status", max_messages=1, discard="old", receipts_to="log")
        for n in range(199):
            wire.pub(f"{MAILBOX}MSG.status", f"{n}")
        wire.msg("status", "199")
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        [latest] = wire.list("status")["messages"]
        assert wire.list("log", limit=1)["total"] == latest["msg_id"]
