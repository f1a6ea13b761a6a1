"""LIST without an address: the bulletin board of public mailboxes."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.mailbox import create_line, exists
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


def board(wire: Wire, **fields: Any) -> dict[str, Any]:
    """One page."""
    page = wire.request(MAILBOX + "LIST", fields).json
    assert isinstance(page, dict)
    return page


def entries(wire: Wire, **fields: Any) -> list[dict[str, Any]]:
    """The mailboxes of all pages."""
    page = board(wire, **fields)
    found = page["mailboxes"]
    while "next" in page:
        page = board(wire, **{**fields, "cursor": page["next"]})
        found += page["mailboxes"]
    return list(found)


def names(wire: Wire, **fields: Any) -> list[str]:
    return [entry["mail_address"] for entry in entries(wire, **fields)]


def create_public(wire: Wire, *addresses: str, **fields: Any) -> None:
    for address in addresses:
        assert wire.create(name=address, public=True, **fields)["is_new"]


def test_empty_board(start_broker: Callable[..., Broker]) -> None:
    with Wire(start_broker().port) as wire:
        assert board(wire) == {"mailboxes": []}
        wire.create(name="private")
        assert board(wire) == {"mailboxes": []}


def test_board_shows_public_mailboxes_in_the_order_of_their_addresses(wire: Wire, address: str) -> None:
    tails = [".b", "", "-z", ".a", ".a.b", ".10", ".9", "_"]
    create_public(wire, *(address + tail for tail in tails))
    wire.create(name=address + ".private")
    wire.create(prefix=address)
    assert names(wire, prefix=address) == sorted(address + tail for tail in tails)


def test_entry_has_the_description_counts_and_times(wire: Wire, address: str) -> None:
    before = int(time.time())
    create_public(wire, address + ".a")
    create_public(wire, address + ".b", desc="żółw", ttl=100)
    after = time.time()
    wire.msg(address + ".b", "x")
    wire.msg(address + ".b.urgent", "y")
    plain, described = entries(wire, prefix=address)
    assert before <= plain.pop("create_time") <= after
    assert plain == {"mail_address": address + ".a", "total": 0, "ttl": 0}
    assert before <= described.pop("create_time") <= after
    assert before + 99 < described.pop("expires_at") < after + 160
    assert described == {"mail_address": address + ".b", "desc": "żółw", "total": 2, "ttl": 100}


def test_with_latest_shows_the_newest_message_of_each(wire: Wire, address: str) -> None:
    create_public(wire, address + ".a", address + ".b", address + ".empty")
    fill = ("n0", "c1", "u2")
    for text in fill:
        wire.msg(f"{address}.a.{({'n': 'normal', 'c': 'critical', 'u': 'urgent'})[text[0]]}", text)
    wire.msg(address + ".b", b"\xff", b"NATS/1.0\r\nA: 1\r\n\r\n")
    found = entries(wire, prefix=address, with_latest=True)
    latest = {entry["mail_address"].removeprefix(address): entry.get("latest") for entry in found}
    listed = wire.list(address + ".a", order="newest", limit=1)["messages"]
    assert [latest[".a"]] == listed
    assert listed[0]["payload"] == "u2"
    assert latest[".b"]["headers"] == {"A": "1"}
    assert latest[".b"]["payload_base64"] == "/w=="
    assert latest[".empty"] is None
    wire.delete(address + ".a", 2)
    assert entries(wire, prefix=address, with_latest=True)[0]["latest"]["payload"] == "c1"
    assert "latest" not in entries(wire, prefix=address)[0]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9, 10**30])
def test_pages_have_at_most_limit_mailboxes(wire: Wire, address: str, limit: int) -> None:
    create_public(wire, *(f"{address}.{n}" for n in range(8)))
    cursor: dict[str, str] = {}
    found, sizes = [], []
    while True:
        page = board(wire, prefix=address, limit=limit, **cursor)
        sizes.append(len(page["mailboxes"]))
        found += [entry["mail_address"] for entry in page["mailboxes"]]
        if "next" not in page:
            break
        cursor = {"cursor": page["next"]}
    assert found == [f"{address}.{n}" for n in range(8)]
    assert set(sizes[:-1]) <= {limit}
    assert 1 <= sizes[-1] <= limit


def test_prefix_is_any_beginning_of_an_address(wire: Wire, address: str) -> None:
    create_public(wire, address, address + ".x", address + "x", address + ".x.y")
    assert len(names(wire, prefix=address)) == 4
    assert names(wire, prefix=address + ".") == [address + ".x", address + ".x.y"]
    assert names(wire, prefix=address + "x") == [address + "x"]
    assert names(wire, prefix=address + ".x.y.z") == []
    for prefix in ("A", "ż", "*", "x" * 5000, "~", "\x00"):
        assert names(wire, prefix=prefix) == []


def test_board_follows_creation_and_expiry(wire: Wire, address: str) -> None:
    create_public(wire, address + ".a", address + ".c")
    create_public(wire, address + ".b", ttl=1)
    first = board(wire, prefix=address, limit=1)
    assert len(names(wire, prefix=address)) == 3
    wait_until(lambda: not exists(wire, address + ".b"))
    assert names(wire, prefix=address) == [address + ".a", address + ".c"]
    create_public(wire, address + ".a.a")
    found = board(wire, prefix=address, cursor=first["next"])["mailboxes"]
    assert [entry["mail_address"] for entry in found] == [address + ".a.a", address + ".c"]
    create_public(wire, address + ".b")
    assert address + ".b" in names(wire, prefix=address)


def test_address_that_becomes_private_leaves_the_board(wire: Wire, address: str) -> None:
    create_public(wire, address, ttl=1)
    assert names(wire, prefix=address) == [address]
    wait_until(lambda: wire.create(name=address).get("is_new"))
    assert names(wire, prefix=address) == []


def test_board_and_its_cursors_survive_a_restart(start_broker: Callable[..., Broker]) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        create_public(wire, "c", "a", "b", "d")
        wire.create(name="bb")
        cursor = board(wire, limit=2)["next"]
        before = entries(wire)
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert entries(wire) == before
        assert names(wire, cursor=cursor) == ["c", "d"]


@pytest.mark.parametrize(
    "fields",
    [
        *[{"prefix": value} for value in (1, True, ["a"], {"a": 1})],
        *[{"limit": value} for value in (0, -1, 1.5, "1", True, [])],
        *[{"with_latest": value} for value in (1, "true", None, [])],
        *[{"cursor": value} for value in (1, ["a"], "", "x", "é", "AAAA", "cw==", "c2FiY2Q=", "A" * 5000)],
    ],
    ids=str,
)
def test_wrong_value_is_refused(wire: Wire, fields: dict[str, Any]) -> None:
    reply = board(wire, **fields)
    assert set(reply) == {"error", "code"}
    assert reply["code"] == "bad_request"


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{}", b'{"prefix":null,"limit":null,"cursor":null}', b'{"a":1}']
)
def test_every_field_is_optional(wire: Wire, address: str, body: bytes) -> None:
    create_public(wire, address)
    assert wire.request(MAILBOX + "LIST", body).json["mailboxes"]


@pytest.mark.parametrize("body", [b"[]", b"{", b"null", b"\xff", b'{"prefix":"\\ud800"}'])
def test_body_that_is_not_a_json_object_is_refused(wire: Wire, body: bytes) -> None:
    assert wire.request(MAILBOX + "LIST", body).json["code"] == "bad_request"


def test_page_never_exceeds_max_payload(small: Broker) -> None:
    with Wire(small.port) as wire:
        for n in range(60):
            address = f"page.{n:02}" + "x" * (n * 2)
            body = json.dumps(
                {"name": address, "public": True, "desc": "żółw\x01" * (n * 2)}, ensure_ascii=False
            )
            assert wire.request(MAILBOX + "CREATE", body).json["is_new"]
            wire.msg(address, "x" * (n * 33))
        for fields in ({}, {"with_latest": True}):
            found: list[dict[str, Any]] = []
            cursor: dict[str, str] = {}
            while True:
                reply = wire.request(MAILBOX + "LIST", {"prefix": "page.", **fields, **cursor})
                assert len(reply.payload) <= PAGE_BYTES
                assert reply.json["mailboxes"]
                found += reply.json["mailboxes"]
                if "next" not in reply.json:
                    break
                cursor = {"cursor": reply.json["next"]}
            assert [int(entry["mail_address"][5:7]) for entry in found] == list(range(60))
            for n, entry in enumerate(found):
                desc = "żółw\x01" * (n * 2)
                assert desc.startswith(entry.get("desc", ""))
                assert len(entry.get("desc", "")) >= min(len(desc), 60)
                if fields:
                    assert entry["latest"]["size"] == n * 33
                    assert entry["latest"].get("payload", "x" * (n * 33)) == "x" * (n * 33)
                    assert "payload" in entry["latest"] or n > 15


def test_many_requests_at_once_are_all_answered(small: Broker) -> None:
    with Wire(small.port) as wire:
        wire.send("".join(create_line(name=f"many.{n}", public=True) for n in range(300)))
        wire.sub("answers", "9")
        wire.send((f"PUB {MAILBOX}LIST answers 18\r\n" + '{"prefix":"many."}\r\n') * 300)
        pages = [message.json for message in wire.messages(300)]
        assert all(len(page["mailboxes"]) > 5 and "next" in page for page in pages)
