"""What the first page of LIST shows of the mailbox itself."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import Connect, acknowledge, fill_mailbox, refuse
from tests.support.waiting import wait_until
from tests.support.wire_client import MAILBOX, Wire

PAGE_BYTES = 2000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with small pages."""
    flags = ("--max-payload", str(PAGE_BYTES), "--sync", "never")
    broker = Broker(tmp_path_factory.mktemp("small") / "data", *flags)
    yield broker
    broker.end()


def details(wire: Wire, address: str, **fields: Any) -> dict[str, Any]:
    found = wire.list(address, **fields)["mailbox"]
    assert isinstance(found, dict)
    return found


def groups(wire: Wire, address: str) -> list[tuple[str, int, int, int]]:
    """Name, members, in_flight and waiting of each queue group."""
    return [tuple(group.values()) for group in details(wire, address)["groups"]]  # type: ignore[misc]


def test_empty_private_mailbox(wire: Wire, address: str) -> None:
    before = int(time.time())
    wire.create(name=address)
    after = time.time()
    found = details(wire, address)
    assert before <= found.pop("create_time") <= after
    assert found == {"public": False, "ttl": 0, "bytes": 0, "readers": 0, "groups": []}


def test_create_time_stays_and_options_change(wire: Wire, address: str) -> None:
    wire.create(name=address, max_messages=5, max_bytes=1000)
    before = details(wire, address)
    assert before["options"] == {"max_messages": 5, "max_bytes": 1000}
    time.sleep(1.1)
    wire.create(name=address, max_bytes=0)
    assert details(wire, address) == {**before, "options": {"max_messages": 5}}
    wire.create(name=address, max_messages=0)
    assert "options" not in details(wire, address)


def test_public_mailbox_with_description_and_ttl(wire: Wire, address: str) -> None:
    wire.create(name=address, public=True, desc="żółw 🐢", ttl=100)
    deadline = time.time() + 100
    found = details(wire, address)
    assert deadline - 60 < found.pop("expires_at") <= deadline
    del found["create_time"]
    assert found == {
        "public": True,
        "desc": "żółw 🐢",
        "ttl": 100,
        "bytes": 0,
        "readers": 0,
        "groups": [],
    }


def test_msg_moves_expires_at_and_list_does_not(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=100)
    before = details(wire, address)["expires_at"]
    time.sleep(1.1)
    assert details(wire, address)["expires_at"] == before
    wire.msg(address, "x")
    assert before < details(wire, address)["expires_at"] < before + 60


def test_bytes_count_headers_and_payloads(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "c1")
    wire.msg(address, "body", b"NATS/1.0\r\nA: 1\r\n\r\n")
    assert details(wire, address)["bytes"] == 2 + 2 + 18 + 4
    wire.delete(address, 0)
    assert details(wire, address)["bytes"] == 2 + 18 + 4


def test_oldest_is_the_time_of_the_oldest_message_of_any_priority(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "u0")
    time.sleep(1.1)
    fill_mailbox(wire, address, "c1", "n2")
    times = {message["msg_id"]: message["create_time"] for message in wire.list(address)["messages"]}
    assert times[0] < times[1]
    assert details(wire, address)["oldest"] == times[0]
    wire.delete(address, 0)
    assert details(wire, address)["oldest"] == times[1]


def test_only_the_first_page_shows_the_mailbox(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    first = wire.list(address, limit=1)
    last = wire.list(address, limit=1, cursor=first["next"])
    assert "mailbox" in first
    assert "mailbox" not in last
    assert "mailbox" not in wire.list(address, cursor=last["end"])


def test_readers_are_plain_subscriptions(wire: Wire, address: str, member: Connect) -> None:
    wire.create(name=address)
    member()
    wire.subscribe(address, "1")
    wire.sub(f"{MAILBOX}MSG.{address}.urgent", "2")
    assert details(wire, address)["readers"] == 2
    wire.send("UNSUB 1\r\n")
    assert details(wire, address)["readers"] == 1


def test_group_shows_what_is_in_flight_and_what_waits(wire: Wire, address: str, member: Connect) -> None:
    fill_mailbox(wire, address, "n0", "u1", "u2")
    urgent = member(queue="urgent", tail=".urgent")
    assert groups(wire, address) == [("urgent", 1, 2, 1)]
    one = member()
    got = one.messages(3)
    assert groups(wire, address) == [("urgent", 1, 2, 1), ("g", 1, 3, 0)]
    member(unsub_after=1)
    acknowledge(one, got[0])
    wait_until(lambda: wire.list(address)["total"] == 2)
    assert groups(wire, address) == [("urgent", 1, 1, 1), ("g", 2, 2, 0)]
    urgent.close()
    wait_until(lambda: len(groups(wire, address)) == 1)
    one.send("UNSUB 1\r\n")
    wait_until(lambda: groups(wire, address) == [("g", 1, 1, 1)])


def test_message_that_was_given_back_and_taken_by_nobody_waits(
    wire: Wire, address: str, member: Connect
) -> None:
    fill_mailbox(wire, address, "n0")
    one = member()
    message = one.message()
    member(tail=".urgent")
    one.send("UNSUB 1\r\n")
    one.ping()
    assert groups(wire, address) == [("g", 1, 0, 1)]
    refuse(one, message)
    one.ping()
    assert groups(wire, address) == [("g", 1, 0, 1)]
    wire.delete(address, 0)
    assert groups(wire, address) == [("g", 1, 0, 0)]


@pytest.mark.parametrize("desc", ["x" * 1900, "żółw" * 270, "\x01" * 300, '"\\' * 450])
@pytest.mark.parametrize("payload", ["", "y" * 800, "y" * 1400])
def test_description_is_cut_to_what_fits_the_page(
    small: Broker, address: str, desc: str, payload: str
) -> None:
    with Wire(small.port) as wire:
        body = json.dumps({"name": address, "desc": desc}, ensure_ascii=False)
        assert wire.request(MAILBOX + "CREATE", body).json["is_new"]
        wire.msg(address, payload)
        reply = wire.request(f"{MAILBOX}LIST.{address}")
        assert len(reply.payload) <= PAGE_BYTES
        shown = reply.json["mailbox"].get("desc", "")
        assert desc.startswith(shown)
        assert [message["payload"] for message in reply.json["messages"]] == [payload]
        # It gets a quarter of the page or more, unless the message needs the room.
        if len(payload) < 1000:
            assert len(json.dumps(shown, ensure_ascii=False).encode()) > PAGE_BYTES // 8


def test_queue_groups_that_do_not_fit_are_counted(small: Broker) -> None:
    address = "l" * 128
    with Wire(small.port) as wire:
        wire.create(name=address, desc="d" * 1800)
        for n in range(40):
            wire.subscribe(address, f"{n}", f"group{n}" + '"' * (n % 30))
        for _ in range(10):
            wire.msg(address, "z" * 150)
        reply = wire.request(f"{MAILBOX}LIST.{address}")
        found = reply.json["mailbox"]
        assert len(reply.payload) <= PAGE_BYTES
        assert 2 <= len(found["groups"]) < 10
        assert len(found["groups"]) + found["groups_omitted"] == 40
        assert [group["name"] for group in found["groups"]][:2] == ["group0", 'group1"']
        assert len(found["desc"]) > 100
        assert reply.json["messages"]


def test_first_message_that_leaves_no_room_for_the_mailbox_comes_on_the_next_page(
    small: Broker, address: str
) -> None:
    with Wire(small.port) as wire:
        wire.create(name=address, desc="d" * 100, ttl=1000)
        alone = 2000 - 256 - len(address)
        for size in range(alone - 400, alone, 20):
            msg_id = wire.msg(address, "x" * size)["msg_id"]
            reply = wire.request(f"{MAILBOX}LIST.{address}")
            page = reply.json
            assert len(reply.payload) <= PAGE_BYTES
            assert page["mailbox"]["ttl"] == 1000
            if not page["messages"]:
                page = wire.list(address, cursor=page["next"])
            (message,) = page["messages"]
            assert len(message.get("payload", "x" * size)) == size
            assert "payload" in message or size > alone - 150
            wire.delete(address, msg_id)


def test_group_names_may_be_any_bytes(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.send(b"SUB %s \xff\x01q 1\r\n" % f"{MAILBOX}MSG.{address}".encode())
    assert [group[0] for group in groups(wire, address)] == ["\ufffd\x01q"]


def test_details_survive_a_restart(start_broker: Callable[..., Broker], address: str) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        wire.create(name=address, public=True, desc="described", ttl=1000, max_messages=9)
        fill = wire.msg(address, "n0")
        assert fill == {"msg_id": 0}
        before = details(wire, address)
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert details(wire, address) == before
