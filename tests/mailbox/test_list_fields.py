"""LIST with msg_id, priority, order and meta_only, and from an `end` on."""

from typing import Any

import pytest

from tests.mailbox.test_list import ids, pages
from tests.support.broker import Broker
from tests.support.mailbox import fill_mailbox
from tests.support.wire_client import MAILBOX, Wire

MIXED = ("n0", "c1", "u2", "n3", "u4", "c5")


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [message["payload"] for page in found for message in page["messages"]]


def test_msg_id_lists_one_message(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, *MIXED)
    for msg_id, text in enumerate(MIXED):
        page = wire.list(address, msg_id=msg_id)
        assert (texts([page]), ids([page]), page["total"]) == ([text], [msg_id], 6)
        assert "next" not in page


def test_msg_id_that_is_not_there_lists_nothing(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, *MIXED)
    wire.delete(address, 2)
    for msg_id in (2, 6, (1 << 63) - 1):
        page = wire.list(address, msg_id=msg_id)
        assert (page["messages"], page["total"]) == ([], 5)
    assert texts([wire.list(address, msg_id=3, priority="normal")]) == ["n3"]
    assert texts([wire.list(address, msg_id=3, priority="urgent")]) == []


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_priority_lists_only_that_priority(wire: Wire, address: str, limit: int) -> None:
    fill_mailbox(wire, address, *MIXED)
    for priority, expected in (
        ("critical", ["c1", "c5"]),
        ("urgent", ["u2", "u4"]),
        ("normal", ["n0", "n3"]),
    ):
        found = pages(wire, address, priority=priority, limit=limit)
        assert texts(found) == expected
        assert {page["total"] for page in found} == {6}


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
def test_newest_lists_by_place_over_all_priorities(wire: Wire, address: str, limit: int) -> None:
    fill_mailbox(wire, address, *MIXED)
    assert texts(pages(wire, address, order="newest", limit=limit)) == [*reversed(MIXED)]
    assert texts(pages(wire, address, order="newest", limit=limit, priority="urgent")) == ["u4", "u2"]


def test_cursor_keeps_the_order(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, *MIXED)
    newest = wire.list(address, order="newest", limit=4)
    assert texts([wire.list(address, cursor=newest["next"])]) == ["c1", "n0"]
    delivery = wire.list(address, limit=1)
    assert wire.list(address, order="newest", cursor=delivery["next"])["code"] == "bad_request"


def test_newest_of_a_long_mailbox(wire: Wire, address: str) -> None:
    """Record batches, with and without deleted messages."""
    wire.create(name=address)
    frames = [f"PUB {MAILBOX}MSG.{address}{('', '.urgent')[n % 3 == 0]} 4\r\n{n:04}\r\n" for n in range(500)]
    wire.send("".join(frames))
    assert texts([wire.list(address, order="newest", limit=3)]) == ["0499", "0498", "0497"]
    for n in range(490, 500):
        wire.delete(address, n)
    for n in range(0, 490, 7):
        wire.delete(address, n)
    left = [f"{n:04}" for n in range(489, -1, -1) if n % 7]
    assert texts(pages(wire, address, order="newest", limit=100)) == left


def test_meta_only_lists_headers_without_payloads(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, b"\xff" * 10, b"NATS/1.0\r\nA: 1\r\n\r\n")
    (message,) = wire.list(address, meta_only=True)["messages"]
    del message["create_time"]
    assert message == {"msg_id": 0, "priority": "normal", "size": 10, "headers": {"A": "1"}}


@pytest.mark.parametrize(
    "fields",
    [
        *[{"msg_id": value} for value in (-1, 1.5, "1", True, [], 1 << 63, 10**30)],
        *[{"priority": value} for value in ("high", "", 1, ["urgent"], "Urgent", True)],
        *[{"order": value} for value in ("oldest", "", 1, ["newest"], True)],
        *[{"meta_only": value} for value in (1, "true", None, [])],
    ],
)
def test_wrong_value_is_refused(wire: Wire, address: str, fields: dict[str, Any]) -> None:
    fill_mailbox(wire, address, "n0")
    assert wire.list(address, **fields)["code"] == "bad_request"


def test_null_is_no_field(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, *MIXED)
    page = wire.list(address, msg_id=None, priority=None, order=None)
    assert texts([page]) == ["c1", "c5", "u2", "u4", "n0", "n3"]


def test_msg_id_with_a_cursor_is_refused(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    reply = wire.list(address, msg_id=0, cursor=wire.list(address, limit=1)["next"])
    assert reply["code"] == "bad_request"
    assert "'msg_id' lists one message: 'cursor' cannot be given as well" in reply["error"]


# From an `end` on.


def test_end_lists_what_came_since_of_all_priorities(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "c1")
    for fields in ({}, {"order": "newest"}, {"priority": "urgent"}, {"msg_id": 0}):
        wire.delete(address, 2)
        wire.delete(address, 3)
        end = wire.list(address, **fields)["end"]
        assert wire.list(address, cursor=end)["messages"] == []
        sent = [wire.msg(f"{address}{tail}")["msg_id"] for tail in ("", ".critical", ".urgent")]
        page = wire.list(address, cursor=end)
        assert ids([page]) == [sent[1], sent[2], sent[0]]
        assert ids([wire.list(address, cursor=end, order="newest")]) == sent[::-1]
        assert ids([wire.list(address, cursor=end, priority="normal")]) == sent[:1]
        assert wire.list(address, cursor=page["end"])["messages"] == []


def test_end_counts_from_the_first_page(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "c0", "n1", "n2")
    for fields in ({}, {"order": "newest"}):
        page = wire.list(address, limit=1, **fields)
        listed = ids([page])
        sent = [wire.msg(f"{address}.critical")["msg_id"]]
        while "next" in page:
            page = wire.list(address, limit=1, cursor=page["next"])
            listed += ids([page])
            sent.append(wire.msg(f"{address}.urgent")["msg_id"])
        assert sorted(listed) == list(range(sent[0]))
        assert ids(pages(wire, address, limit=2, cursor=page["end"])) == sent


def test_end_of_a_former_mailbox_lists_the_new_one_from_its_beginning(wire: Wire, address: str) -> None:
    wire.create(name=address, ttl=1)
    for _ in range(5):
        wire.msg(address)
    following = wire.list(address, limit=1)["next"]
    end = wire.list(address)["end"]
    while "code" not in wire.list(address):
        pass
    fill_mailbox(wire, address, "n0", "n1")
    assert texts([wire.list(address, cursor=end)]) == ["n0", "n1"]
    assert texts([wire.list(address, cursor=following)]) == ["n0", "n1"]


def test_end_survives_a_restart(broker: Broker, address: str) -> None:
    with Wire(broker.port) as wire:
        fill_mailbox(wire, address, "n0", "n1")
        end = wire.list(address)["end"]
        fill_mailbox(wire, address, "u2")
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        fill_mailbox(wire, address, "n3")
        assert texts([wire.list(address, cursor=end)]) == ["u2", "n3"]
