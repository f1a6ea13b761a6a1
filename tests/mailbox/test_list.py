"""LIST: the messages of a mailbox in the order of delivery, page by page."""

import base64
import json
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mq9fast.mailbox.listed_message import read_headers
from tests.support.broker import Broker
from tests.support.mailbox import SUFFIX, fill_mailbox
from tests.support.wire_client import MAILBOX, Wire

PRIORITY = {"n": "normal", "u": "urgent", "c": "critical"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with small pages."""
    broker = Broker(tmp_path_factory.mktemp("small") / "data", "--max-payload", "2000", "--sync", "never")
    yield broker
    broker.end()


def pages(wire: Wire, address: str, **fields: Any) -> list[dict[str, Any]]:
    """Every page from the first to the last."""
    found = [wire.list(address, **fields)]
    fields.pop("cursor", None)
    while "next" in found[-1]:
        assert found[-1]["messages"], "only the last page may be empty"
        assert len(found) < 1000
        found.append(wire.list(address, cursor=found[-1]["next"], **fields))
    return found


def ids(found: list[dict[str, Any]]) -> list[int]:
    return [message["msg_id"] for page in found for message in page["messages"]]


def test_empty_mailbox_has_an_empty_page(wire: Wire, address: str) -> None:
    wire.create(name=address)
    page = wire.list(address)
    assert set(page) == {"mail_address", "total", "mailbox", "messages", "end"}
    assert (page["mail_address"], page["total"], page["messages"]) == (address, 0, [])


def test_missing_mailbox_is_an_error(wire: Wire, address: str) -> None:
    reply = wire.list(address)
    assert set(reply) == {"error", "code"}
    assert reply["code"] == "mailbox_not_found"


@pytest.mark.parametrize("tail", ["A", "a..b", "a.", "urgent", "a.urgent", "*", ">", "a.*", "é", "x" * 129])
def test_invalid_address_is_an_error(wire: Wire, tail: str) -> None:
    assert wire.list(tail)["code"] == "invalid_address"


@pytest.mark.parametrize("subject", ["LISTS", "LISTS.a", "list.a"])
def test_unknown_command_is_an_error(wire: Wire, subject: str) -> None:
    assert wire.request(MAILBOX + subject).json["code"] == "unknown_command"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b" \r\n", b'{"unknown": 1}', b'{"limit": null, "cursor": null}']
)
def test_every_field_is_optional(wire: Wire, address: str, body: bytes) -> None:
    fill_mailbox(wire, address, "n0")
    assert wire.request(f"{MAILBOX}LIST.{address}", body).json["total"] == 1


def test_messages_are_in_the_order_of_delivery(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "c0", "u0", "n1", "u1", "c1")
    page = wire.list(address)
    assert [m["payload"] for m in page["messages"]] == ["c0", "c1", "u0", "u1", "n0", "n1"]
    wire.subscribe(address)
    assert [m["msg_id"] for m in page["messages"]] == [m.msg_id for m in wire.messages(6)]
    assert page["total"] == 6
    assert "next" not in page


def test_message_has_id_priority_size_payload_headers_and_time(wire: Wire, address: str) -> None:
    before = int(time.time())
    fill_mailbox(wire, address, "u0")
    after = int(time.time())
    (message,) = wire.list(address)["messages"]
    assert before <= message.pop("create_time") <= after
    assert message == {"msg_id": 0, "priority": "urgent", "size": 2, "payload": "u0", "headers": {}}


@pytest.mark.parametrize(
    "payload",
    [b"", b"plain", '"quoted" \\ \x00\x1f\x7f żółw 🐢'.encode(), b"\xff", bytes(range(256)), b"\xed\xa0\x80"],
)
def test_payload_is_text_if_utf8_else_base64(wire: Wire, address: str, payload: bytes) -> None:
    wire.create(name=address)
    wire.msg(address, payload)
    (message,) = wire.list(address)["messages"]
    assert message["size"] == len(payload)
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        assert "payload" not in message
        assert base64.b64decode(message["payload_base64"], validate=True) == payload
    else:
        assert "payload_base64" not in message
        assert message["payload"] == text


def test_headers_are_listed(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.msg(address, "body", b"NATS/1.0\r\nA: 1\r\nb:two words \r\nA:3\r\nEmpty:\r\nA: 4\r\n\r\n")
    (message,) = wire.list(address)["messages"]
    assert message["headers"] == {"A": ["1", "3", "4"], "b": "two words", "Empty": ""}
    assert (message["payload"], message["size"]) == ("body", 4)


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        (b"NATS/1.0\r\n\r\n", {}),
        (b"NATS/1.0 503\r\n\r\n", {}),
        (b"x", {}),
        (b"\r\n\xff\xfe: \xff\r\n\r\n", {"\ufffd\ufffd": "\ufffd"}),
        (b":\r\n:\r\n", {"": ""}),
        (b"\r\n\r\n\r\n", {}),
    ],
)
def test_malformed_headers_of_an_earlier_broker_are_read(header: bytes, fields: dict[str, str]) -> None:
    """It stored any bytes as a header block."""
    assert read_headers(header) == fields


def test_list_changes_nothing(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "n1")
    assert wire.list(address) == wire.list(address)
    wire.subscribe(address)
    assert len(wire.messages(2)) == 2


def test_deleted_messages_are_not_listed(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, "n0", "u0", "n1", "c0")
    wire.delete(address, 1)
    wire.delete(address, 0)
    page = wire.list(address)
    assert (page["total"], ids([page])) == (2, [3, 2])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 11, 12, 13, 10**30])
def test_pages_have_at_most_limit_messages(wire: Wire, address: str, limit: int) -> None:
    fill_mailbox(wire, address, *(f"{'nuc'[n % 3]}{n}" for n in range(12)))
    found = pages(wire, address, limit=limit)
    assert ids(found) == [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]
    assert [len(page["messages"]) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert 1 <= len(found[-1]["messages"]) <= limit
    assert {page["total"] for page in found} == {12}


def test_page_never_exceeds_max_payload(small: Broker, address: str) -> None:
    with Wire(small.port) as wire:
        wire.create(name=address)
        for n in range(60):
            suffix = SUFFIX["nuc"[n % 3]]
            assert "msg_id" in wire.msg(address + suffix, "x" * (n * 23 % 900), b"NATS/1.0\r\nK: v\r\n\r\n")
        found, cursor = [], {}
        while cursor is not None:
            reply = wire.request(f"{MAILBOX}LIST.{address}", cursor)
            assert len(reply.payload) <= 2000
            found.append(reply.json)
            cursor = {"cursor": reply.json["next"]} if "next" in reply.json else None
        assert ids(found) == [*range(2, 60, 3), *range(1, 60, 3), *range(0, 60, 3)]
        assert 10 < len(found) < 60
        sizes = {m["msg_id"]: len(m["payload"]) for page in found for m in page["messages"]}
        assert sizes == {n: n * 23 % 900 for n in range(60)}


@pytest.mark.parametrize("payload", [b"x" * 2000, b"\x01" * 1500, b"\xff" * 1900, b"\x00" * 2000])
def test_payload_too_large_for_a_page_is_marked_as_omitted(
    small: Broker, address: str, payload: bytes
) -> None:
    with Wire(small.port) as wire:
        fill_mailbox(wire, address, "n0")
        assert wire.msg(address, payload) == {"msg_id": 1}
        assert wire.msg(address, "after") == {"msg_id": 2}
        found = pages(wire, address)
        assert ids(found) == [0, 1, 2]
        large = next(m for page in found for m in page["messages"] if m["msg_id"] == 1)
        assert large["size"] == len(payload)
        assert large["payload_omitted"] is True
        assert not {"payload", "payload_base64"} & set(large)
        wire.subscribe(address)
        assert wire.messages(3)[1].payload == payload


def test_message_with_headers_too_large_for_a_page_is_listed(small: Broker, address: str) -> None:
    header = b"NATS/1.0\r\n" + b"".join(b"K%d: \x01\x02\x03\r\n" % n for n in range(180)) + b"\r\n"
    assert len(header) < 2000
    with Wire(small.port) as wire:
        wire.create(name=address)
        wire.msg(address, "", header)
        wire.msg(address, "after")
        found = pages(wire, address)
        assert ids(found) == [0, 1]
        assert len(json.dumps(found[0])) < 2100


def test_pages_of_the_longest_address_fit_max_payload(small: Broker) -> None:
    address = "l" * 128
    with Wire(small.port) as wire:
        wire.create(name=address)
        for _ in range(20):
            wire.msg(address, "x" * 150)
        cursor: dict[str, Any] = {}
        seen = 0
        while True:
            reply = wire.request(f"{MAILBOX}LIST.{address}", cursor)
            assert len(reply.payload) <= 2000
            seen += len(reply.json["messages"])
            if "next" not in reply.json:
                break
            cursor = {"cursor": reply.json["next"]}
        assert seen == 20


def test_paging_is_stable_while_messages_are_added_and_deleted(wire: Wire, address: str) -> None:
    fill_mailbox(wire, address, *(f"n{n}" for n in range(10)))
    first = wire.list(address, limit=4)
    assert ids([first]) == [0, 1, 2, 3]
    for n in (0, 3, 4, 5):
        wire.delete(address, n)
    fill_mailbox(wire, address, "c0", "n10")
    (rest,) = pages(wire, address, limit=4, cursor=first["next"])
    assert ids([rest]) == [6, 7, 8, 9]
    assert ids([wire.list(address, cursor=rest["end"])]) == [10, 11]


def test_cursor_is_valid_after_a_restart_and_deletions(
    start_broker: Callable[..., Broker], address: str
) -> None:
    broker = start_broker()
    with Wire(broker.port) as wire:
        fill_mailbox(wire, address, "n0", "n1", "n2")
        cursor = wire.list(address, limit=1)["next"]
        wire.delete(address, 1)
    broker.restart(kill=True)
    with Wire(broker.port) as wire:
        assert ids([wire.list(address, cursor=cursor)]) == [2]
        wire.delete(address, 2)
        page = wire.list(address, cursor=cursor)
        assert set(page) == {"mail_address", "total", "messages", "end"}
        assert (page["total"], page["messages"]) == (1, [])


def cursor_of(kind: int, rank: int, *ids: int, size: int = 30) -> str:
    """A cursor with these fields and a wrong life, cut to `size` bytes."""
    packed = struct.pack(">BBIQQQ", kind, rank, 0, *ids) + b"\0"
    return base64.urlsafe_b64encode(packed[:size]).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *["", "x", "é", "AAAA", "====", "null", "A" * 5000],
        *[cursor_of(3, 0, 0, 0, 0), cursor_of(255, 0, 0, 0, 0), cursor_of(0, 3, 0, 0, 0)],
        *[cursor_of(0, 0, 1 << 63, 0, 0), cursor_of(0, 0, 0, 1 << 63, 0), cursor_of(2, 0, 0, 0, 1 << 63)],
        *[cursor_of(0, 0, 0, 0, 0, size=29), cursor_of(0, 0, 0, 0, 0, size=31)],
        *[cursor_of(0, 0, 0, 0, 0) + "\n", base64.urlsafe_b64encode(bytes(9)).decode()],
    ],
)
def test_cursor_not_issued_by_list_is_refused(wire: Wire, address: str, cursor: str) -> None:
    fill_mailbox(wire, address, "n0")
    assert wire.list(address, cursor=cursor)["code"] == "bad_request"


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", True, []])
def test_invalid_limit_is_refused(wire: Wire, address: str, limit: Any) -> None:
    fill_mailbox(wire, address, "n0")
    reply = wire.list(address, limit=limit)
    assert reply["code"] == "bad_request"


@pytest.mark.parametrize("fields", [{"cursor": 1}, {"cursor": ["a"]}, {"cursor": {"a": 1}}])
def test_wrong_type_is_refused(wire: Wire, address: str, fields: dict[str, Any]) -> None:
    fill_mailbox(wire, address, "n0")
    assert wire.list(address, **fields)["code"] == "bad_request"


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b"null", b"0", b"\xff", b"[" * 100000, b'{"cursor":"\\ud800"}']
)
def test_body_that_is_not_a_json_object_is_refused(wire: Wire, address: str, body: bytes) -> None:
    fill_mailbox(wire, address, "n0")
    assert wire.request(f"{MAILBOX}LIST.{address}", body).json["code"] == "bad_request"


def test_list_includes_messages_sent_before_on_the_same_connection(wire: Wire, address: str) -> None:
    wire.create(name=address)
    wire.sub("answers", "9")
    for n in range(50):
        wire.send(f"PUB {MAILBOX}MSG.{address} 1\r\nx\r\nPUB {MAILBOX}LIST.{address} answers 0\r\n\r\n")
        page = wire.message().json
        assert page["total"] == n + 1
        assert ids([page]) == list(range(n + 1))


def test_total_equals_the_number_of_messages_during_traffic(broker: Broker, wire: Wire, address: str) -> None:
    """A page without a next page has `total` messages, whatever is sent and deleted meanwhile."""
    wire.create(name=address)
    wire.sub("answers", "9")
    disagreements = 0
    for n in range(0, 300, 3):
        wire.send(
            f"PUB {MAILBOX}MSG.{address} 1\r\nx\r\nPUB {MAILBOX}LIST.{address} answers 0\r\n\r\n"
            f"PUB {MAILBOX}MSG.{address} 1\r\nx\r\nPUB {MAILBOX}MSG.{address} 1\r\nx\r\n"
            f"PUB {MAILBOX}DELETE.{address}.{n} 0\r\n\r\n"
        )
    for message in wire.messages(100):
        page = message.json
        if "next" not in page and page["total"] != len(page["messages"]):
            disagreements += 1
    assert disagreements == 0
