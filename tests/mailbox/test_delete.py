"""DELETE: a deleted message stays deleted, and its id is not used again."""

import asyncio
import json

import pytest
from nats.aio.client import Client

from tests.support.broker import Broker
from tests.support.nats_py import connect
from tests.support.waiting import WAIT_SECONDS, wait_until, wait_until_async
from tests.support.wire_client import MAILBOX, Wire

MSG = MAILBOX + "MSG."


def listed(wire: Wire, address: str) -> list[int]:
    return [message["msg_id"] for message in wire.list(address)["messages"]]


def fill(wire: Wire, address: str, count: int) -> None:
    wire.create(name=address)
    for n in range(count):
        assert wire.msg(address + ("", ".urgent", ".critical")[n % 3], f"{n}") == {"msg_id": n}


def test_delete_reports_whether_the_message_existed(wire: Wire, address: str) -> None:
    fill(wire, address, 3)
    for n in range(3):
        assert wire.delete(address, n) == {"deleted": True}
        assert wire.delete(address, n) == {"deleted": False}
    assert wire.delete(address, 3) == {"deleted": False}
    assert wire.delete(address, 2**63 - 1) == {"deleted": False}
    assert wire.list(address)["total"] == 0


def test_message_of_the_same_packet_can_be_deleted(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.subscribe(address)
    wire.sub("answers", "9")
    for n in range(0, 40, 2):
        wire.send(
            f"PUB {MSG}{address} answers 1\r\nx\r\n"
            + f"PUB {MAILBOX}DELETE.{address}.{n} answers 0\r\n\r\n" * 2
            + f"PUB {MSG}{address} 1\r\ny\r\n"
        )
    answers, seen = [], []
    for message in wire.messages(60 + 20):
        (answers if message.sid == "9" else seen).append(message)
    assert [a.json for a in answers] == [
        answer for n in range(0, 40, 2) for answer in ({"msg_id": n}, {"deleted": True}, {"deleted": False})
    ]
    assert [m.msg_id for m in seen] == list(range(1, 40, 2))
    assert listed(wire, address) == list(range(1, 40, 2))


@pytest.mark.parametrize("msg_id", ["", "x", "-1", "1x", "0x1", "+0", " 0", "1.", "9" * 30, "*", ">", "٣"])
def test_invalid_id_is_refused(wire: Wire, address: str, msg_id: str) -> None:
    fill(wire, address, 2)
    subject = f"{MAILBOX}DELETE.{address}.{msg_id}"
    if " " not in subject:
        assert wire.request(subject).json["code"] in {"bad_request", "invalid_address"}
    assert wire.list(address)["total"] == 2


def test_invalid_address_is_refused(wire: Wire) -> None:
    for tail in ("0", ".0", "A.0", "a..0", "a.urgent.0", "*.0", "x" * 129 + ".0"):
        assert wire.request(f"{MAILBOX}DELETE.{tail}").json["code"] == "invalid_address"
    assert wire.request(MAILBOX + "DELETE").json["code"] == "unknown_command"
    assert wire.request(MAILBOX + "DELETE.").json["code"] == "bad_request"


def test_missing_mailbox_is_an_error(wire: Wire, address: str) -> None:
    assert wire.delete(address, 0)["code"] == "mailbox_not_found"
    wire.pub(f"{MAILBOX}DELETE.{address}.0")
    wire.ping()


def test_delete_removes_only_that_message_of_that_mailbox(wire: Wire, address: str) -> None:
    other = address + "-other"
    fill(wire, address, 6)
    fill(wire, other, 6)
    assert wire.delete(address, 4) == {"deleted": True}
    assert listed(wire, address) == [2, 5, 1, 0, 3]
    assert listed(wire, other) == [2, 5, 1, 4, 0, 3]


@pytest.mark.parametrize("kill", [False, True])
def test_deletions_survive_a_restart(broker: Broker, address: str, kill: bool) -> None:
    with Wire(broker.port) as wire:
        fill(wire, address, 9)
        for n in (0, 4, 8):
            assert wire.delete(address, n) == {"deleted": True}
    broker.restart(kill=kill)
    with Wire(broker.port) as wire:
        assert listed(wire, address) == [2, 5, 1, 7, 3, 6]
        assert wire.delete(address, 4) == {"deleted": False}
        wire.subscribe(address)
        assert [m.msg_id for m in wire.messages(6)] == [2, 5, 1, 7, 3, 6]
        assert wire.silent(0.03)


def test_ids_are_not_reused_after_deletions_and_restarts(broker: Broker, address: str) -> None:
    expected = 0
    for life in range(4):
        with Wire(broker.port) as wire:
            wire.create(name=address)
            assert wire.list(address)["total"] == 0
            for _ in range(3):
                assert wire.msg(address) == {"msg_id": expected}
                expected += 1
            for n in range(expected - 3, expected):
                assert wire.delete(address, n) == {"deleted": True}
            if life == 2:
                assert wire.msg(address) == {"msg_id": expected}
                assert wire.delete(address, expected) == {"deleted": True}
                expected += 1
        broker.restart(kill=life % 2 == 1)


def test_counts_are_right_after_many_deletions(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.send("".join(f"PUB {MSG}{address}{('', '.urgent')[n % 2]} 1\r\nx\r\n" for n in range(2000)))
    wire.send("".join(f"PUB {MAILBOX}DELETE.{address}.{n} 0\r\n\r\n" for n in range(2000) if n % 100))
    wire.ping()
    wait_until(lambda: wire.list(address, limit=1)["total"] == 20)
    assert listed(wire, address) == list(range(0, 2000, 100))


def test_reply_subject_of_a_delivery_is_a_delete_request(wire: Wire, address: str) -> None:
    fill(wire, address, 3)
    wire.subscribe(address)
    for message in wire.messages(3):
        assert wire.request(message.reply).json == {"deleted": True}
        assert wire.request(message.reply).json == {"deleted": False}


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"no json", b"+ACK", b"true", b"x" * 5000])
def test_delete_ignores_any_other_body(wire: Wire, address: str, body: bytes) -> None:
    fill(wire, address, 1)
    assert wire.delete(address, 0, body) == {"deleted": True}


def test_nak_and_wpi_in_headers_are_ignored(wire: Wire, address: str) -> None:
    fill(wire, address, 1)
    reply = wire.request(f"{MAILBOX}DELETE.{address}.0", b"", b"NATS/1.0\r\n-NAK: +WPI\r\n\r\n")
    assert reply.json == {"deleted": True}


@pytest.mark.parametrize("how", ["respond", "ack", "ack_sync", "term"])
def test_nats_py_deletes_by_replying(broker: Broker, address: str, how: str) -> None:
    async def run() -> None:
        client: Client = await connect(broker.url)
        await client.request(MAILBOX + "CREATE", json.dumps({"name": address}).encode())
        for n in range(3):
            await client.publish(MSG + address, b"%d" % n)
        subscription = await client.subscribe(MSG + address, queue="workers")
        for n in range(3):
            message = await subscription.next_msg(WAIT_SECONDS)
            assert message.data == b"%d" % n
            if n != 1:
                await (message.respond(b"") if how == "respond" else getattr(message, how)())
        await client.flush()

        async def left() -> list[int]:
            page = json.loads((await client.request(f"{MAILBOX}LIST.{address}")).data)
            return [message["msg_id"] for message in page["messages"]]

        async def one_is_left() -> bool:
            return len(await left()) == 1

        await wait_until_async(one_is_left)
        assert await left() == [1]
        await client.close()

    asyncio.run(run())


def test_nats_py_refuses_with_nak_and_receives_again(broker: Broker, address: str) -> None:
    async def run() -> None:
        client: Client = await connect(broker.url)
        await client.request(MAILBOX + "CREATE", json.dumps({"name": address}).encode())
        subscription = await client.subscribe(MSG + address, queue="workers")
        await client.publish(MSG + address, b"work")
        message = await subscription.next_msg(WAIT_SECONDS)
        await message.in_progress()
        await message.nak()
        again = await subscription.next_msg(WAIT_SECONDS)
        assert (again.data, again.reply) == (b"work", message.reply)
        await again.ack()

        async def is_deleted() -> bool:
            return json.loads((await client.request(f"{MAILBOX}LIST.{address}")).data)["total"] == 0

        await wait_until_async(is_deleted)
        await client.close()

    asyncio.run(run())
