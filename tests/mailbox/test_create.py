"""CREATE: generated and named addresses, existing mailboxes, and every malformed request."""

import json
import re
from typing import Any

import pytest

from tests.support.broker import Broker
from tests.support.wire_client import MAILBOX, Wire

PRIORITIES = ("normal", "urgent", "critical")
LONGEST = "a" * 128


def error_code(wire: Wire, body: str | bytes) -> str:
    """The error code of a CREATE that fails."""
    reply = wire.request(MAILBOX + "CREATE", body).json
    assert set(reply) == {"error", "code"}
    assert reply["error"].endswith(".")
    return reply["code"]


@pytest.mark.parametrize("body", [b"", b"{}", b"  ", b"\r\n\t ", b" {} "])
def test_empty_request_creates_a_private_mailbox(wire: Wire, body: bytes) -> None:
    reply = wire.request(MAILBOX + "CREATE", body).json
    assert set(reply) == {"mail_address", "is_new"}
    assert reply["is_new"] is True
    assert wire.msg(reply["mail_address"]) == {"msg_id": 0}


def test_generated_addresses_are_random_with_128_bits(wire: Wire) -> None:
    addresses = {wire.create()["mail_address"] for _ in range(200)}
    assert len(addresses) == 200
    for address in addresses:
        assert re.fullmatch(r"[a-z0-9._-]{1,128}", address)
        assert len(address.replace(".", "")) >= 25  # 128 bits in an alphabet of 38
    for position in range(25):
        assert len({address[position] for address in addresses}) > 4


@pytest.mark.parametrize("prefix", ["edge", "edge.device-7", "a_b", "x" * 90, "urgent"])
def test_generated_address_starts_with_the_prefix(wire: Wire, prefix: str) -> None:
    addresses = {wire.create(prefix=prefix)["mail_address"] for _ in range(3)}
    assert len(addresses) == 3
    for address in addresses:
        assert address.startswith(prefix + ".")
        assert len(address) > len(prefix) + 25
        assert wire.msg(address, "in") == {"msg_id": 0}


@pytest.mark.parametrize("prefix", ["", ".", "a..b", "A", "a b", "é", "*", "a.>", "a.", ".a", LONGEST])
def test_invalid_prefix_is_refused(wire: Wire, prefix: str) -> None:
    assert error_code(wire, json.dumps({"prefix": prefix})) == "invalid_address"


@pytest.mark.parametrize(
    "name", ["create-a", "create-b.c-1_2", "0", "-", "_", "a.-.b", "create." + "a" * 121]
)
def test_name_is_the_whole_address(wire: Wire, name: str) -> None:
    assert wire.create(name=name) == {"mail_address": name, "is_new": True}
    assert wire.create(name=name) == {"mail_address": name, "is_new": False}


def test_an_address_has_at_most_128_characters(wire: Wire) -> None:
    assert wire.create(name=LONGEST)["is_new"]
    assert wire.msg(LONGEST + ".critical") == {"msg_id": 0}
    wire.subscribe(LONGEST)
    assert wire.message().reply == f"{MAILBOX}DELETE.{LONGEST}.0"
    assert error_code(wire, json.dumps({"name": LONGEST + "a"})) == "invalid_address"


BAD_NAMES = [
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a.",
    "A",
    "aB",
    "a b",
    "a\tb",
    "é",
    "a\x00",
    "*",
    ">",
    "a.*",
    "a.>",
    "$a",
    "a/b",
    "a@b",
]


@pytest.mark.parametrize("name", [*BAD_NAMES, "\u2028", "😀", *PRIORITIES, *(f"a.{p}" for p in PRIORITIES)])
def test_invalid_name_is_refused(wire: Wire, name: str) -> None:
    assert error_code(wire, json.dumps({"name": name})) == "invalid_address"


@pytest.mark.parametrize("name", ["urgent.a", "critical.normal.b", "urgently", "a.norma", "a.normal-"])
def test_priority_word_is_allowed_before_the_last_token(wire: Wire, name: str) -> None:
    assert wire.create(name=name)["is_new"]
    assert wire.msg(name + ".urgent") == {"msg_id": 0}
    assert wire.list(name)["messages"][0]["priority"] == "urgent"


def test_address_with_a_longer_address_below_it_is_independent(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.create(name=address + ".more")
    wire.subscribe(address)
    wire.msg(address + ".more", "other")
    wire.msg(address, "mine")
    assert wire.message().payload == b"mine"
    assert wire.silent(0.05)
    assert wire.list(address)["total"] == wire.list(address + ".more")["total"] == 1


def test_create_of_an_existing_mailbox_keeps_its_messages(wire: Wire, address: str) -> None:
    wire.create(name=address, desc="first", ttl=60)
    wire.msg(address, "kept")
    assert wire.create(name=address, desc="second") == {"mail_address": address, "is_new": False}
    assert [m["payload"] for m in wire.list(address)["messages"]] == ["kept"]
    assert wire.msg(address, "next") == {"msg_id": 1}


@pytest.mark.parametrize("public", [True, False])
def test_public_of_an_existing_mailbox_cannot_change(wire: Wire, address: str, public: bool) -> None:
    assert wire.create(name=address, public=public)["is_new"]
    assert wire.create(name=address, public=public) == {"mail_address": address, "is_new": False}
    assert wire.create(name=address, public=not public)["code"] == "mailbox_conflict"
    assert wire.msg(address) == {"msg_id": 0}


def test_mailbox_is_private_by_default(wire: Wire, address: str) -> None:
    wire.create(name=address)
    assert wire.create(name=address, public=True)["code"] == "mailbox_conflict"
    assert wire.create(name=address, public=False)["is_new"] is False


def test_public_mailbox_needs_a_name(wire: Wire) -> None:
    assert error_code(wire, b'{"public":true}') == "bad_request"
    assert error_code(wire, b'{"public":true,"prefix":"a"}') == "bad_request"


def test_name_and_prefix_together_are_refused(wire: Wire, address: str) -> None:
    assert wire.create(name=address, prefix="a")["code"] == "bad_request"
    assert wire.list(address)["code"] == "mailbox_not_found"


def test_unknown_fields_are_ignored(wire: Wire, address: str) -> None:
    reply = wire.create(name=address, colour="blue", x={"y": [1, None]}, NAME="no")
    assert reply == {"mail_address": address, "is_new": True}


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl": "60"},
        {"ttl": 1.5},
        {"ttl": -1},
        {"ttl": True},
        {"ttl": [1]},
        {"ttl": 10**30},
        {"ttl": 2**63},
        {"public": "true"},
        {"public": 1},
        {"name": 7},
        {"name": ["a"]},
        {"prefix": 7},
        {"prefix": {}},
        {"desc": 7},
        {"desc": {"a": 1}},
        {"desc": "d" * 5000},
    ],
)
def test_wrong_type_is_refused(wire: Wire, address: str, fields: dict[str, Any]) -> None:
    assert wire.create(**{"name": address, **fields})["code"] == "bad_request"
    assert wire.list(address)["code"] == "mailbox_not_found"


NOT_OBJECTS = [
    b"[]",
    b"null",
    b"1",
    b'"a"',
    b"{",
    b'{"ttl":}',
    b"{}{}",
    b"ttl=3",
    b"\x00",
    b"\xff\xfe",
    b'{"name":"\xff"}',
]


@pytest.mark.parametrize(
    "body",
    [
        *NOT_OBJECTS,
        b'{"name":"\\ud800"}',
        b'{"\\ud800":1}',
        b"[" * 100000,
        b'{"a":' * 100000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_body_that_is_not_a_json_object_is_refused(wire: Wire, body: bytes) -> None:
    assert error_code(wire, body) == "bad_request"
    wire.ping()


def test_longest_ttl_and_description_are_accepted(wire: Wire, address: str) -> None:
    assert wire.create(name=address, ttl=100 * 365 * 86400, desc="é" * 2000)["is_new"]
    assert wire.create(name=address, ttl=0, desc="")["is_new"] is False


def test_subjects_below_create_are_unknown_commands(wire: Wire) -> None:
    for subject in ("CREATE.a", "CREATE.", "CREATEX", "create", "CREATE.a.b"):
        assert wire.request(MAILBOX + subject, b"{}").json["code"] == "unknown_command"


def test_create_without_a_reply_subject_works(wire: Wire, address: str) -> None:
    wire.pub(MAILBOX + "CREATE", json.dumps({"name": address}))
    assert wire.msg(address) == {"msg_id": 0}


def test_mailbox_survives_a_restart(broker: Broker, address: str) -> None:
    with Wire(broker.port) as wire:
        wire.create(name=address, public=True, ttl=600)
        generated = wire.create(prefix="kept")["mail_address"]
    for kill in (False, True):
        broker.restart(kill=kill)
        with Wire(broker.port) as wire:
            assert wire.create(name=address, public=True)["is_new"] is False
            assert wire.create(name=address)["code"] == "mailbox_conflict"
            assert wire.list(generated)["total"] == 0
